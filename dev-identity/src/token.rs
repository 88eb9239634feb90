//! Tokens: what one says, sealed so that nobody can read or change it.
//!
//! A token says whose it is, its scope, and its end. It does not say the roles: those are looked up whenever it is used,
//! so that a token is worth nothing once the seed document no longer gives its user a role.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};

/// The version of the format, the first byte of a token.
const VERSION: u8 = 1;
/// The length of the random nonce.
const NONCE_BYTES: usize = 24;
/// The length of the name of a key.
const NAME_BYTES: usize = crate::keys::NAME_BYTES;

/// The random id by which a token is revoked.
pub type AuditId = [u8; 16];

/// Returns an audit id as Keystone writes it.
#[must_use]
pub fn audit_string(audit: &AuditId) -> String {
    URL_SAFE_NO_PAD.encode(audit)
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub user_id: String,
    pub methods: Methods,
    pub scope: Scope,
    /// The id of the application credential that the token was made with.
    pub credential_id: Option<String>,
    /// In seconds since 1970.
    pub issued_at: i64,
    /// The first second in which the token is no longer valid.
    pub expires_at: i64,
    pub audit: AuditId,
    /// The audit id of the first token in the chain of those that this one was made from.
    pub first_audit: Option<AuditId>,
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Unscoped,
    /// The id of a project.
    Project(String),
    /// The id of a domain.
    Domain(String),
}

/// The methods of authentication that led to a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Methods {
    pub password: bool,
    pub token: bool,
    pub application_credential: bool,
}

impl Methods {
    /// Returns Keystone's names, in the order in which it writes them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.application_credential, "application_credential"),
            (self.token, "token"),
            (self.password, "password"),
        ];
        all.into_iter().filter_map(|(has, name)| has.then_some(name)).collect()
    }
}

/// Seals a token. Returns `None` only if the claims cannot be encoded.
#[must_use]
pub fn seal(claims: &Claims, name: [u8; NAME_BYTES], key: &[u8; 32], nonce: [u8; NONCE_BYTES]) -> Option<String> {
    let mut token = vec![VERSION];
    token.extend(name);
    let claims = postcard::to_stdvec(claims).ok()?;
    let payload = Payload { msg: &claims, aad: &token };
    let sealed = XChaCha20Poly1305::new(key.into()).encrypt(&XNonce::from(nonce), payload).ok()?;
    token.extend(nonce);
    token.extend(sealed);
    Some(URL_SAFE_NO_PAD.encode(token))
}

/// A token whose key is not known yet.
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Reads a token. Returns `None` for a string that is not one.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let is_whole = bytes.first() == Some(&VERSION) && bytes.len() > 1 + NAME_BYTES + NONCE_BYTES;
        is_whole.then_some(Self(bytes))
    }

    /// Returns the name of the key.
    #[must_use]
    pub fn key_name(&self) -> [u8; NAME_BYTES] {
        self.0.get(1..).and_then(|bytes| bytes.first_chunk().copied()).unwrap_or_default()
    }

    /// Opens the token. Returns `None` if this key did not seal it, or if it was changed.
    #[must_use]
    pub fn open(&self, key: &[u8; 32]) -> Option<Claims> {
        let (head, rest) = self.0.split_at_checked(1 + NAME_BYTES)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: head };
        let claims = XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(*nonce), payload).ok()?;
        postcard::from_bytes(&claims).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scopes() -> impl Strategy<Value = Scope> {
        prop_oneof![
            Just(Scope::Unscoped),
            "[a-z0-9]{1,64}".prop_map(Scope::Project),
            "[a-z0-9]{1,64}".prop_map(Scope::Domain),
        ]
    }

    prop_compose! {
        fn claims()(
            user_id in "[a-z0-9]{1,64}", scope in scopes(), credential_id in proptest::option::of("[a-z0-9]{1,64}"),
            issued_at: i64, expires_at: i64, audit: AuditId, first_audit in proptest::option::of(any::<AuditId>()),
            (password, token, application_credential) in any::<(bool, bool, bool)>(),
        ) -> Claims {
            let methods = Methods { password, token, application_credential };
            Claims { user_id, methods, scope, credential_id, issued_at, expires_at, audit, first_audit }
        }
    }

    proptest! {
        #[test]
        fn only_its_own_key_opens_a_token(
            claims in claims(), name: [u8; NAME_BYTES], key: [u8; 32], other: [u8; 32], nonce: [u8; NONCE_BYTES],
        ) {
            let token = seal(&claims, name, &key, nonce).expect("sealed");
            let sealed = Sealed::read(&token).expect("a token");
            prop_assert_eq!(sealed.key_name(), name);
            prop_assert_eq!(sealed.open(&key), Some(claims));
            prop_assume!(other != key);
            prop_assert_eq!(sealed.open(&other), None);
        }

        #[test]
        fn a_changed_token_opens_for_nobody(
            claims in claims(), key: [u8; 32], nonce: [u8; NONCE_BYTES], at: prop::sample::Index, by in 1_u8..,
        ) {
            let token = seal(&claims, [7; NAME_BYTES], &key, nonce).expect("sealed");
            let mut bytes = URL_SAFE_NO_PAD.decode(&token).expect("base64");
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            let changed = Sealed::read(&URL_SAFE_NO_PAD.encode(&bytes)).and_then(|sealed| sealed.open(&key));
            prop_assert_eq!(changed, None);
            bytes.truncate(at);
            let cut = Sealed::read(&URL_SAFE_NO_PAD.encode(&bytes)).and_then(|sealed| sealed.open(&key));
            prop_assert_eq!(cut, None);
        }
    }

    #[test]
    fn strings_that_are_no_tokens_are_refused() {
        for string in ["", "AQ", "garbage", "gAAAAABrCwAQ", "ü", "AQ==", &"A".repeat(10_000)] {
            assert!(Sealed::read(string).is_none(), "{string}");
        }
    }
}
