//! Base64 as Python's `binascii` reads and writes it. Characters outside the alphabet are skipped.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns bytes in Base64.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) & 63;
            encoded.push(if at <= chunk.len() { char::from(ALPHABET[digit as usize]) } else { '=' });
        }
    }
    encoded
}

/// Returns the bytes of a string in Base64, or `None` if its digits are no whole number of bytes.
#[must_use]
pub fn decode(encoded: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(encoded.len() / 4 * 3);
    let (mut bits, mut digits, mut pads) = (0_u32, 0, 0);
    for byte in encoded.bytes() {
        if byte == b'=' {
            if digits >= 2 {
                pads += 1;
                if digits + pads >= 4 {
                    // What follows the padding is not read.
                    return Some(bytes);
                }
            }
            continue;
        }
        let Some(digit) = ALPHABET.iter().position(|own| *own == byte) else { continue };
        pads = 0;
        bits = (bits << 6) | u32::try_from(digit).unwrap_or(0);
        digits = (digits + 1) % 4;
        if digits != 1 {
            let shift = [0, 0, 4, 2][digits];
            bytes.push(u8::try_from((bits >> shift) & 255).unwrap_or(0));
        }
    }
    (digits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_are_read_as_python_reads_them() {
        for (encoded, decoded) in [
            ("", Some("")),
            ("***", Some("")),
            ("x", None),
            ("eA", None),
            ("eA=", None),
            ("eA==", Some("x")),
            ("eHk=", Some("xy")),
            ("e\nH*k=", Some("xy")),
            ("eHl6", Some("xyz")),
            ("eA==eHl6", Some("x")),
            ("=eHl6", Some("xyz")),
            ("e=Hl6", Some("xyz")),
        ] {
            assert_eq!(decode(encoded).as_deref(), decoded.map(str::as_bytes), "{encoded:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_are_read_as_they_were_written(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
