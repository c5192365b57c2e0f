// SPDX-License-Identifier: GPL-2.0

//! What a client sends.

use fastrand::Rng;

const WORD: u64 = 8;

/// Writes what a client with that seed sends from `offset` on: all values, and runs of NULs.
pub fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    let mut position = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = word(seed, position / WORD).to_le_bytes();
        let begun = &word[(position % WORD) as usize..];
        let count = begun.len().min(rest.len());
        let (here, behind) = rest.split_at_mut(count);
        here.copy_from_slice(&begun[..count]);
        position += count as u64;
        rest = behind;
    }
}

fn word(seed: u64, index: u64) -> u64 {
    match index % 5 {
        0 => 0,
        _ => Rng::with_seed(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_in_pieces() {
        let mut whole = [0xff; 1000];
        fill(7, 0, &mut whole);
        for (start, length) in [(0, 1), (1, 7), (8, 100), (13, 987), (999, 1)] {
            let mut piece = vec![0xff; length];
            fill(7, start as u64, &mut piece);
            assert_eq!(
                piece,
                whole[start..start + length],
                "{length} from {start} on"
            );
        }
    }

    #[test]
    fn clients_send_different_things() {
        let [mut one, mut other] = [[0; 64]; 2];
        fill(1, 0, &mut one);
        fill(2, 0, &mut other);
        assert_ne!(one, other);
        // A run of NULs, which a server that thinks of text loses
        assert_eq!(one[..8], [0; 8]);
        assert_ne!(one[8..16], other[8..16]);
    }
}
