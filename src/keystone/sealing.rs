//! Seals the service user's own token, so that a reader of the store cannot use it (`docs/adr/0005-keystone.md`).

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};

use crate::store::Identifiers;

/// The length of the nonce that precedes the ciphertext, in bytes.
const NONCE_BYTES: usize = 12;

/// Seals a string for [`open`]. Returns a random nonce, followed by the ciphertext.
pub fn seal(key: &[u8; 32], string: &str, identifiers: &dyn Identifiers) -> Option<Vec<u8>> {
    // Six bits of a random UUID are fixed. The other 90 are enough for the few tokens that one key seals.
    let nonce = *identifiers.uuid().as_bytes().last_chunk::<NONCE_BYTES>()?;
    let sealed = ChaCha20Poly1305::new(key.into()).encrypt(&Nonce::from(nonce), string.as_bytes()).ok()?;
    Some([&nonce[..], &sealed].concat())
}

/// Opens a string that was sealed with the same key. Returns `None` for any other value.
pub fn open(key: &[u8; 32], sealed: &[u8]) -> Option<String> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let bytes = ChaCha20Poly1305::new(key.into()).decrypt(&Nonce::from(*nonce), sealed).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    struct Fixed(Uuid);

    impl Identifiers for Fixed {
        fn uuid(&self) -> Uuid {
            self.0
        }
    }

    #[test]
    fn only_the_same_key_opens_what_was_sealed() {
        let sealed = seal(&[7; 32], "a token", &Fixed(Uuid::from_u128(1))).expect("sealed");
        assert_eq!(open(&[7; 32], &sealed).as_deref(), Some("a token"));
        assert_eq!(open(&[8; 32], &sealed), None);
        assert!(!sealed.windows(5).any(|bytes| bytes == b"token"));
        let other = seal(&[7; 32], "a token", &Fixed(Uuid::from_u128(2))).expect("sealed");
        assert_ne!(sealed, other, "another nonce");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&[7; 32], &changed), None, "byte {at}");
            assert_eq!(open(&[7; 32], &sealed[..at]), None, "the first {at} bytes");
        }
    }
}
