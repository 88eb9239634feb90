//! Seals the service user's own token, so that whoever reads the store cannot use it (`docs/adr/0005`).

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};

use crate::store::Identifiers;

/// How many bytes of a nonce stand before what is sealed.
const NONCE_BYTES: usize = 12;

/// Seals a text: a random nonce, then what [`open`] opens.
pub fn seal(key: &[u8; 32], text: &str, identifiers: &dyn Identifiers) -> Option<Vec<u8>> {
    // Six bits of a random UUID are not random, which leaves more than the few tokens of a key need.
    let nonce = *identifiers.uuid().as_bytes().last_chunk::<NONCE_BYTES>()?;
    let sealed = ChaCha20Poly1305::new(key.into()).encrypt(&Nonce::from(nonce), text.as_bytes()).ok()?;
    Some([&nonce[..], &sealed].concat())
}

/// Opens what was sealed with the same key; anything else is nothing.
pub fn open(key: &[u8; 32], sealed: &[u8]) -> Option<String> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let text = ChaCha20Poly1305::new(key.into()).decrypt(&Nonce::from(*nonce), sealed).ok()?;
    String::from_utf8(text).ok()
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
