//! Revoked tokens. A revocation is kept until its token would have ended anyway.
//!
//! Each is a value of its own, found by the audit id of the token, so two requests that revoke at once cannot lose one.
//! A numbered record beside it leads the pruning from the oldest to the newest. Each revocation prunes more than it
//! adds, so the number of records is at most that of the tokens revoked within one lifetime.

use crate::environment::{Environment, StoreError};
use crate::token::{AuditId, Claims, audit_string};

/// The key of the counter of revocations.
const COUNT: &str = "di1:revocations";
/// The key of the number of the last record that was pruned.
const PRUNED: &str = "di1:pruned";

/// The number of records that one revocation prunes at most.
const PRUNED_AT_ONCE: i64 = 8;

/// Returns the key of a revocation.
fn revoked(audit: &str) -> String {
    format!("di1:revoked:{audit}")
}

/// Returns the key of a numbered record.
fn record(number: i64) -> String {
    format!("di1:revocation:{number}")
}

/// Returns whether a token was revoked, or the first of the tokens that it was made from.
pub(crate) fn is_revoked(claims: &Claims, environment: &Environment<'_>) -> Result<bool, StoreError> {
    for audit in [Some(claims.audit), claims.first_audit].into_iter().flatten() {
        if environment.key_value.get(&revoked(&audit_string(&audit)))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Revokes a token. `ends_at` is the time from which nobody accepts it anyway.
pub(crate) fn revoke(audit: AuditId, ends_at: i64, environment: &Environment<'_>) -> Result<(), StoreError> {
    let audit = audit_string(&audit);
    let number = environment.key_value.increment(COUNT, 1)?;
    environment.key_value.set_many(&[
        (revoked(&audit), b"revoked".to_vec()),
        (record(number), format!("{ends_at} {audit}").into_bytes()),
    ])?;
    // The token is revoked by now, so a failure to prune is left to the next revocation.
    if let Err(error) = prune(number, environment) {
        (environment.log)(&format!("ended revocations were not pruned: {error}"));
    }
    Ok(())
}

/// Deletes the oldest records, as far as their tokens have ended. `newest` is the number of the newest record.
fn prune(newest: i64, environment: &Environment<'_>) -> Result<(), StoreError> {
    let pruned = environment.key_value.get(PRUNED)?.and_then(|value| String::from_utf8(value).ok()?.parse().ok());
    let first = pruned.unwrap_or(0);
    let mut last = first;
    let mut gone = Vec::new();
    // The newest record is this request's own.
    for number in (first + 1..newest).take(usize::try_from(PRUNED_AT_ONCE).unwrap_or_default()) {
        if let Some(value) = environment.key_value.get(&record(number))? {
            let value = String::from_utf8(value).unwrap_or_default();
            let (ends_at, audit) = value.split_once(' ').unwrap_or_default();
            if ends_at.parse().is_ok_and(|ends_at: i64| ends_at > environment.now) {
                break;
            }
            gone.extend([revoked(audit), record(number)]);
        }
        last = number;
    }
    if last > first {
        environment.key_value.delete_many(&gone)?;
        environment.key_value.set_many(&[(PRUNED.to_owned(), last.to_string().into_bytes())])?;
    }
    Ok(())
}
