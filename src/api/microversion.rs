//! The version of the API that a request asks for (`docs/spec/versions-and-faults.md` section 2).

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use super::wire::faults::{BAD_REQUEST, Fault};
use super::wire::headers::Header;
use super::wire::request::Headers;

/// A version such as 3.66.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion {
    major: u32,
    minor: u32,
}

impl Microversion {
    /// The oldest version, which is in force if a request names none.
    pub const MINIMUM: Self = Self::v3(0);
    /// The newest version.
    pub const MAXIMUM: Self = Self::v3(71);

    /// Returns version 3 with a minor number.
    #[must_use]
    pub const fn v3(minor: u32) -> Self {
        Self { major: 3, minor }
    }
}

/// Filters by boolean columns of volumes must be booleans.
pub const STRICT_BOOLEANS: Microversion = Microversion::v3(2);
/// The filter `glance_metadata` of volumes.
pub const VOLUME_IMAGE_METADATA_FILTER: Microversion = Microversion::v3(4);
/// `manageable_snapshots`.
pub const MANAGEABLE_SNAPSHOTS: Microversion = Microversion::v3(8);
/// The filter `group_id` of volumes.
pub const VOLUME_GROUP_FILTER: Microversion = Microversion::v3(10);
/// `volumes/summary`.
pub const VOLUME_SUMMARY: Microversion = Microversion::v3(12);
/// `group_id` of volumes.
pub const VOLUME_GROUP: Microversion = Microversion::v3(13);
/// `group_snapshot_id` in detail views.
pub const GROUP_SNAPSHOTS: Microversion = Microversion::v3(14);
/// `cluster` as an alternative to `host` in the list of manageable snapshots.
pub const MANAGE_BY_CLUSTER: Microversion = Microversion::v3(17);
/// `provider_id` of volumes.
pub const VOLUME_PROVIDER: Microversion = Microversion::v3(21);
/// The `metadata` list filter.
pub const METADATA_FILTER: Microversion = Microversion::v3(22);
/// A volume may be deleted by force.
pub const VOLUME_FORCE_DELETE: Microversion = Microversion::v3(23);
/// `attachments`.
pub const ATTACHMENTS: Microversion = Microversion::v3(27);
/// The sort key `name`.
pub const SORT_BY_NAME: Microversion = Microversion::v3(30);
/// Filters are configured, and unknown ones are refused.
pub const RESOURCE_FILTERS: Microversion = Microversion::v3(31);
/// `resource_filters`.
pub const RESOURCE_FILTERS_SHOWN: Microversion = Microversion::v3(33);
/// Like filters.
pub const LIKE_FILTERS: Microversion = Microversion::v3(34);
/// The metadata in `volumes/summary`.
pub const VOLUME_SUMMARY_METADATA: Microversion = Microversion::v3(36);
/// An administrator may ask for the limits of another project.
pub const LIMITS_OF_PROJECT: Microversion = Microversion::v3(39);
/// Volume `revert`.
pub const REVERT: Microversion = Microversion::v3(40);
/// `user_id` in detail views.
pub const SNAPSHOT_USER: Microversion = Microversion::v3(41);
/// A volume in use may be extended.
pub const EXTEND_IN_USE: Microversion = Microversion::v3(42);
/// `os-complete` of attachments.
pub const ATTACHMENT_COMPLETION: Microversion = Microversion::v3(44);
/// `with_count`.
pub const COUNT: Microversion = Microversion::v3(45);
/// `shared_targets` and `service_uuid` of volumes.
pub const VOLUME_TARGETS: Microversion = Microversion::v3(48);
/// Bodies of volumes may not have unknown properties.
pub const VOLUME_SCHEMAS: Microversion = Microversion::v3(53);
/// Filters of volume types are configured, and unknown ones are refused.
pub const VOLUME_TYPE_FILTERS: Microversion = Microversion::v3(52);
/// `mode` of new attachments.
pub const ATTACHMENT_MODE: Microversion = Microversion::v3(54);
/// `cluster_name` of volumes.
pub const VOLUME_CLUSTER: Microversion = Microversion::v3(61);
/// `volume_type_id` of volumes.
pub const VOLUME_TYPE_ID: Microversion = Microversion::v3(63);
/// `consumes_quota` in detail views.
pub const CONSUMES_QUOTA: Microversion = Microversion::v3(65);
/// Volumes in use may be snapshotted without `force`.
pub const SNAPSHOT_IN_USE: Microversion = Microversion::v3(66);

impl fmt::Display for Microversion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The outcome of the negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The version that the answer names; `None` if Cinder would name none.
    pub named: Option<Cow<'static, str>>,
    /// The version in force, or the fault that refuses the request.
    pub version: Result<Microversion, Fault>,
}

/// Returns the header of a request. Several headers count as one, as HTTP has it.
#[must_use]
pub fn header<'a>(headers: &Headers<'a>) -> Option<Cow<'a, str>> {
    if !headers.has(Header::OpenstackApiVersion) {
        return None;
    }
    let mut values = headers.strings(Header::OpenstackApiVersion);
    let first = values.next().unwrap_or_default();
    Some(values.fold(Cow::Borrowed(first), |all, value| Cow::Owned([&all, ",", value].concat())))
}

/// Reads the header `OpenStack-API-Version`. `None` stands for an absent header.
#[must_use]
pub fn negotiate(header: Option<&str>) -> Negotiated {
    let Some(header) = header else {
        return Negotiated { named: Some(Cow::Borrowed("3.0")), version: Ok(Microversion::MINIMUM) };
    };
    let failed = |fault| Negotiated { named: None, version: Err(fault) };
    // The first element that contains the word counts, even as in `volumev3 3.65`. All others are for other services.
    let Some(element) = header.split(',').find(|element| has(element, b"volume")) else {
        return failed(Fault::bad_request(BAD_REQUEST));
    };
    let mut words = element.split_whitespace();
    let (Some(_), Some(wanted), None) = (words.next(), words.next(), words.next()) else {
        return failed(Fault::bad_request(BAD_REQUEST));
    };
    if wanted == "latest" {
        return Negotiated {
            named: Some(Microversion::MAXIMUM.to_string().into()),
            version: Ok(Microversion::MAXIMUM),
        };
    }
    let Some((major, minor)) =
        wanted.split_once('.').filter(|(major, minor)| is_number(major, false) && is_number(minor, true))
    else {
        let message = format!("API Version String {wanted} is of invalid format. Must be of format MajorNum.MinorNum.");
        return failed(Fault::bad_request(message));
    };
    // Versions 1.0 and 2.0 answered without these headers, and Cinder looks for that string anywhere (`12.0`).
    let named = (!has(wanted, b"1.0") && !has(wanted, b"2.0")).then(|| wanted.to_owned().into());
    let version = match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => Some(Microversion { major, minor }),
        _ => None,
    };
    let version =
        version.filter(|version| (Microversion::MINIMUM..=Microversion::MAXIMUM).contains(version)).ok_or_else(|| {
            let message = format!(
                "Version {wanted} is not supported by the API. Minimum is {} and maximum is {}.",
                Microversion::MINIMUM,
                Microversion::MAXIMUM
            );
            Fault::new(StatusCode::NOT_ACCEPTABLE, message)
        });
    Negotiated { named, version }
}

/// Whether a string contains a word. The search of the standard library prepares for long strings, which costs more than
/// it saves here.
fn has<const LENGTH: usize>(string: &str, word: &[u8; LENGTH]) -> bool {
    string.as_bytes().windows(LENGTH).any(|part| part == word)
}

/// Whether a string is digits without a leading zero, or a single zero where that is allowed.
fn is_number(string: &str, zero_allowed: bool) -> bool {
    let digits = !string.is_empty() && string.bytes().all(|byte| byte.is_ascii_digit());
    digits && (!string.starts_with('0') || (zero_allowed && string == "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_as_cinder_reads_it() {
        let ok = |minor| Ok(Microversion::v3(minor));
        let cases = [
            ("volume 3.65", Some("3.65"), ok(65)),
            ("compute 2.90, volume 3.65", Some("3.65"), ok(65)),
            ("volume  3.65", Some("3.65"), ok(65)),
            ("volumev3 3.65", Some("3.65"), ok(65)),
            ("volume latest", Some("3.71"), ok(71)),
            ("volume 3.0", Some("3.0"), ok(0)),
            ("volume 3.72", Some("3.72"), Err(406)),
            ("volume 4.0", Some("4.0"), Err(406)),
            ("volume 2.0", None, Err(406)),
            ("volume 12.0", None, Err(406)),
            ("volume 99999999999999999999.1", Some("99999999999999999999.1"), Err(406)),
            ("volume 3", None, Err(400)),
            ("volume 3.071", None, Err(400)),
            ("volume 3.", None, Err(400)),
            ("volume abc", None, Err(400)),
            ("volume LATEST", None, Err(400)),
            ("volume -3.1", None, Err(400)),
            ("Volume 3.65", None, Err(400)),
            ("compute 2.90", None, Err(400)),
            ("", None, Err(400)),
            ("volume", None, Err(400)),
            ("volume 3.1 3.2", None, Err(400)),
        ];
        for (header, named, version) in cases {
            let negotiated = negotiate(Some(header));
            assert_eq!(negotiated.named.as_deref(), named, "{header}");
            assert_eq!(negotiated.version.map_err(|fault| fault.status.as_u16()), version, "{header}");
        }
        let unnamed = negotiate(None);
        assert_eq!(unnamed.version, Ok(Microversion::MINIMUM));
        assert_eq!(unnamed.named, Some(Microversion::MINIMUM.to_string().into()));
    }
}
