// SPDX-License-Identifier: GPL-2.0

//! The attributes of the `kernel` crate that the library's lock-free parts use.

use proc_macro::{
    Delimiter,
    Group,
    TokenStream,
    TokenTree, //
};

/// Takes `#[pin]` off the fields: nothing here can be moved, for a model never does.
#[proc_macro_attribute]
pub fn pin_data(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    let is_pin = |token: &TokenTree| match token {
        TokenTree::Group(group) => {
            group.delimiter() == Delimiter::Bracket && group.stream().to_string() == "pin"
        }
        _ => false,
    };
    let strip = |fields: TokenStream| {
        let mut fields = fields.into_iter().peekable();
        let mut kept = Vec::new();
        while let Some(token) = fields.next() {
            let starts = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
            if starts && fields.peek().is_some_and(is_pin) {
                fields.next();
            } else {
                kept.push(token);
            }
        }
        TokenStream::from_iter(kept)
    };
    item.into_iter()
        .map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                Group::new(Delimiter::Brace, strip(group.stream())).into()
            }
            other => other,
        })
        .collect()
}
