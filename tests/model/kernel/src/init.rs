// SPDX-License-Identifier: GPL-2.0

//! Initialisers; in the stand-in an initialiser is the value itself.

/// An initialiser of a `T`.
pub trait PinInit<T> {
    /// Makes the value.
    fn make(self) -> T;
}

impl<T> PinInit<T> for T {
    fn make(self) -> T {
        self
    }
}

/// A value, field by field.
#[macro_export]
macro_rules! pin_init {
    (@fields [$name:ident] { $($done:tt)* }) => {
        $name { $($done)* }
    };
    (@fields [$name:ident] { $($done:tt)* } $field:ident: $value:expr, $($rest:tt)*) => {
        $crate::pin_init!(@fields [$name] { $($done)* $field: $value, } $($rest)*)
    };
    (@fields [$name:ident] { $($done:tt)* } $field:ident <- $init:expr, $($rest:tt)*) => {
        $crate::pin_init!(
            @fields [$name] { $($done)* $field: $crate::init::PinInit::make($init), } $($rest)*
        )
    };
    (Self { $($fields:tt)* }) => {
        $crate::pin_init!(@fields [Self] {} $($fields)*)
    };
}
