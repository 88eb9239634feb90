//! The capabilities of a backend's pool, and whether they are those that the extra specs of a volume type require
//! (`cinder/scheduler/filters/capabilities_filter.py`, `cinder/scheduler/filters/extra_specs_ops.py`).

use super::volume_type::ExtraSpecs;

/// The value of a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability<'a> {
    Null,
    Flag(bool),
    Number(u32),
    String(&'a str),
}

/// The capabilities of a pool by their names, in the order in which an administrator sees them.
pub type Capabilities<'a> = [(&'static str, Capability<'a>); 18];

/// The pool of every backend.
pub const POOL: &str = "pool";

/// Returns the capabilities of the pool of a host, `host@backend` or `host@backend#pool`. The pool has no end, since nothing
/// is stored.
#[must_use]
pub fn of_host(host: &str) -> Capabilities<'_> {
    let (host, pool) = host.split_once('#').unwrap_or((host, POOL));
    let backend = host.split_once('@').map_or("", |(_, backend)| backend);
    [
        ("volume_backend_name", Capability::String(backend)),
        ("vendor_name", Capability::String("Open Source")),
        ("driver_version", Capability::String(env!("CARGO_PKG_VERSION"))),
        ("storage_protocol", Capability::String("none")),
        ("pool_name", Capability::String(pool)),
        ("total_capacity_gb", Capability::String("infinite")),
        ("free_capacity_gb", Capability::String("infinite")),
        ("reserved_percentage", Capability::Number(0)),
        ("provisioned_capacity_gb", Capability::Number(0)),
        ("max_over_subscription_ratio", Capability::String("20.0")),
        ("thin_provisioning_support", Capability::Flag(true)),
        ("thick_provisioning_support", Capability::Flag(false)),
        ("QoS_support", Capability::Flag(false)),
        ("multiattach", Capability::Flag(true)),
        ("replication_enabled", Capability::Flag(false)),
        ("backend_state", Capability::String("up")),
        ("filter_function", Capability::Null),
        ("goodness_function", Capability::Null),
    ]
}

/// Returns whether a pool has all capabilities that extra specs require. The specs in a scope other than `capabilities`, such
/// as those for a driver, require none.
#[must_use]
pub fn satisfy(capabilities: &Capabilities<'_>, specs: &ExtraSpecs) -> bool {
    specs.iter().all(|(key, requirement)| {
        let name = match key.split_once(':') {
            None => key.as_str(),
            Some(("capabilities", name)) => name,
            Some(_) => return true,
        };
        let capability = capabilities.iter().find(|(own, _)| *own == name);
        capability.is_some_and(|(_, capability)| capability.meets(requirement.as_deref()))
    })
}

impl Capability<'_> {
    /// Returns whether the value of an extra spec accepts this value. It is an operator and its operand, or a string.
    fn meets(self, requirement: Option<&str>) -> bool {
        let Some(requirement) = requirement else { return self == Self::Null };
        let mut words = requirement.split_whitespace();
        let operator = words.next().unwrap_or_default();
        let is_operator = matches!(operator, "=" | "==" | "!=" | ">=" | "<=" | "<in>" | "<is>" | "<or>")
            || matches!(operator, "s==" | "s!=" | "s<" | "s<=" | "s>" | "s>=");
        if !is_operator {
            return self.is_string(requirement);
        }
        if operator == "<or>" {
            return words.step_by(2).any(|word| self.is_string(word));
        }
        let Some(operand) = words.next().filter(|_| self != Self::Null) else { return false };
        match (operator, self) {
            ("<is>", _) => self.is_true() == is_true(operand),
            ("<in>", Self::String(own)) => own.contains(operand),
            ("s==", _) => self.is_string(operand),
            ("s!=", _) => !self.is_string(operand),
            ("s<", Self::String(own)) => own < operand,
            ("s<=", Self::String(own)) => own <= operand,
            ("s>", Self::String(own)) => own > operand,
            ("s>=", Self::String(own)) => own >= operand,
            _ => self.number().zip(operand.parse::<f64>().ok()).is_some_and(|(own, operand)| match operator {
                "=" | ">=" => own >= operand,
                "<=" => own <= operand,
                #[expect(clippy::float_cmp, reason = "Cinder compares floats for equality")]
                "==" => own == operand,
                #[expect(clippy::float_cmp, reason = "Cinder compares floats for equality")]
                "!=" => own != operand,
                _ => false,
            }),
        }
    }

    /// Returns whether a filter of pools accepts the value.
    #[must_use]
    pub fn equals(self, filter: &str) -> bool {
        match self {
            Self::Null => false,
            Self::Flag(own) => own == is_true(filter),
            Self::Number(own) => own.to_string() == filter,
            Self::String(own) => own == filter,
        }
    }

    fn is_string(self, string: &str) -> bool {
        matches!(self, Self::String(own) if own == string)
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Flag(own) => Some(u8::from(own).into()),
            Self::Number(own) => Some(own.into()),
            Self::String(own) => own.parse().ok(),
        }
    }

    fn is_true(self) -> bool {
        match self {
            Self::Null => false,
            Self::Flag(own) => own,
            Self::Number(own) => own == 1,
            Self::String(own) => is_true(own),
        }
    }
}

/// Returns whether a string says yes, as `bool_from_string` of oslo.utils reads it.
fn is_true(word: &str) -> bool {
    ["1", "t", "true", "on", "y", "yes"].contains(&word.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_ask_for_capabilities_as_the_filter_of_cinder_reads_them() {
        let pool = of_host("host1@lvm#pool");
        for (key, requirement, satisfied) in [
            ("volume_backend_name", Some("lvm"), true),
            ("volume_backend_name", Some("LVM"), false),
            ("capabilities:volume_backend_name", Some("lvm"), true),
            ("capabilities:volume_backend_name:x", Some("lvm"), false),
            ("volume_backend_name", Some("<or> ceph <or> lvm"), true),
            ("volume_backend_name", Some("<or> ceph <or> nfs"), false),
            ("volume_backend_name", Some("<or>"), false),
            ("volume_backend_name", Some("<in> v"), true),
            ("volume_backend_name", Some("s== lvm"), true),
            ("volume_backend_name", Some("s!= lvm"), false),
            ("volume_backend_name", Some("s>= lv"), true),
            ("volume_backend_name", Some("s< lv"), false),
            ("volume_backend_name", Some("<like> lvm"), false),
            ("volume_backend_name", Some(""), false),
            ("volume_backend_name", None, false),
            ("multiattach", Some("<is> True"), true),
            ("multiattach", Some("<is> no"), false),
            ("multiattach", Some("True"), false),
            ("multiattach", Some("== 1"), true),
            ("replication_enabled", Some("<is> False"), true),
            ("reserved_percentage", Some("<= 10"), true),
            ("reserved_percentage", Some("= 1"), false),
            ("reserved_percentage", Some("0"), false),
            ("max_over_subscription_ratio", Some(">= 20"), true),
            ("free_capacity_gb", Some(">= 20"), false),
            ("filter_function", None, true),
            ("filter_function", Some("s!= x"), false),
            ("filter_function", Some("<is> False"), false),
            ("colour", Some("red"), false),
            ("colour", None, false),
            ("provisioning:type", Some("thick"), true),
            ("RESKEY:availability_zones", Some("mars"), true),
        ] {
            let specs = ExtraSpecs::from([(key.to_owned(), requirement.map(str::to_owned))]);
            assert_eq!(satisfy(&pool, &specs), satisfied, "{key}={requirement:?}");
        }
        assert!(satisfy(&pool, &ExtraSpecs::new()));
        assert!(satisfy(&of_host("host2@ceph"), &[("volume_backend_name".into(), Some("ceph".into()))].into()));
    }
}
