//! Spin's variables. Application variables have a default, and the environment or a test may set them. Templates such
//! as `http://{{ keystone_host }}:5000` use them, and the component's own variables are templates.
//!
//! It must not know which variables our application has, or what their values mean.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::bindings::fermyon::spin::variables as wit;

/// The prefix of environment variables that set application variables: `SPIN_VARIABLE_AUTH_MODE` sets `auth_mode`.
pub const ENVIRONMENT_PREFIX: &str = "SPIN_VARIABLE_";

/// One entry of `[variables]` in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The value of a variable that is not set. `None` means that the variable is required.
    pub default: Option<String>,
    /// Whether the value must never be shown.
    pub secret: bool,
}

/// Refuses the names that Spin refuses, with Spin's message.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let reason = if name.is_empty() {
        "must not be empty".to_owned()
    } else if let Some(invalid) = name.chars().find(|c| !allowed(*c)) {
        format!(
            "invalid character {invalid:?}. Variable names may contain only lower-case letters, numbers, and underscores."
        )
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "must start with a lowercase ASCII letter".to_owned()
    } else if name.ends_with('_') {
        "must end with a lowercase ASCII letter or digit".to_owned()
    } else if name.contains("__") {
        "must not contain multiple consecutive underscores".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{name:?}: {reason}"))
}

/// A string in which `{{ name }}` stands for the value of an application variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// Fails on `{{` without `}}`.
    pub(crate) fn parse(template: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, expression)) = rest.split_once("{{") {
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            let Some((name, after)) = expression.split_once("}}") else {
                bail!("unmatched '{{{{' in template {template:?}");
            };
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Returns the names of the variables that the template uses.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Returns the string with every variable replaced by its value.
    ///
    /// # Errors
    ///
    /// Fails when a variable has no value. The manifest defines it: that has been checked.
    pub(crate) fn resolve(&self, values: &Values) -> Result<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(name) => text.push_str(values.get(name)?),
            }
        }
        Ok(text)
    }
}

/// The values of the application's variables, for one running app.
pub(crate) struct Values {
    values: HashMap<String, String>,
}

impl Values {
    /// Chooses the value of each variable: the override, else the environment, else the default.
    ///
    /// # Errors
    ///
    /// Fails when a required variable has no value, an override names an unknown variable, or a value is not UTF-8.
    pub(crate) fn choose(
        variables: &BTreeMap<String, Variable>,
        overrides: &HashMap<String, String>,
        environment: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Self> {
        if let Some(unknown) = overrides.keys().find(|name| !variables.contains_key(*name)) {
            bail!("variable {unknown:?} is set, but the manifest defines no such variable");
        }
        let mut values = HashMap::new();
        for (name, variable) in variables {
            let value = match overrides.get(name) {
                Some(value) => Some(value.clone()),
                None => environment(name)?.or_else(|| variable.default.clone()),
            };
            let value = value.with_context(|| {
                format!(
                    "required variable {name:?} has no value; set {ENVIRONMENT_PREFIX}{}",
                    name.to_ascii_uppercase()
                )
            })?;
            values.insert(name.clone(), value);
        }
        Ok(Self { values })
    }

    fn get(&self, name: &str) -> Result<&str> {
        self.values.get(name).map(String::as_str).with_context(|| format!("unknown variable {name:?}"))
    }
}

/// Reads one application variable from this process's environment.
///
/// # Errors
///
/// Fails when the value is not UTF-8.
pub(crate) fn from_environment(name: &str) -> Result<Option<String>> {
    let key = format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase());
    match std::env::var(&key) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("the environment variable {key} is not UTF-8"),
    }
}

/// The variables of the component, which the guest may read. They are resolved once.
#[derive(Clone, Debug)]
pub(crate) struct ComponentVariables {
    component: String,
    values: HashMap<String, String>,
}

impl ComponentVariables {
    /// Resolves the component's templates.
    ///
    /// # Errors
    ///
    /// Fails when a variable in a template has no value.
    pub(crate) fn resolve(component: &str, templates: &BTreeMap<String, Template>, values: &Values) -> Result<Self> {
        let values = templates
            .iter()
            .map(|(name, template)| Ok((name.clone(), template.resolve(values)?)))
            .collect::<Result<_>>()?;
        Ok(Self { component: component.to_owned(), values })
    }

    fn get(&self, name: &str) -> Result<String, VariableError> {
        check_name(name).map_err(VariableError::InvalidName)?;
        self.values
            .get(name)
            .cloned()
            .ok_or_else(|| VariableError::Undefined(format!("no variable for {:?}.{name:?}", self.component)))
    }
}

/// The reason why a guest does not get the value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableError {
    /// The name violates Spin's rules for names.
    InvalidName(String),
    /// The component's section of the manifest does not name it.
    Undefined(String),
}

impl fmt::Display for VariableError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(reason) => write!(formatter, "invalid variable name: {reason}"),
            Self::Undefined(reason) => write!(formatter, "undefined variable: {reason}"),
        }
    }
}

impl std::error::Error for VariableError {}

impl wit::Host for Arc<ComponentVariables> {
    fn get(&mut self, name: String) -> Result<String, VariableError> {
        ComponentVariables::get(self, &name)
    }

    fn convert_error(&mut self, error: VariableError) -> wasmtime::Result<wit::Error> {
        Ok(match error {
            VariableError::InvalidName(reason) => wit::Error::InvalidName(reason),
            VariableError::Undefined(reason) => wit::Error::Undefined(reason),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        Values { values: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
    }

    fn variables(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Variable> {
        pairs
            .iter()
            .map(|(name, default)| {
                ((*name).to_owned(), Variable { default: default.map(str::to_owned), secret: false })
            })
            .collect()
    }

    #[test]
    fn templates_mix_text_and_variables() {
        let values = values(&[("host", "127.0.0.1"), ("port", "5000"), ("empty", "")]);
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{{ host }}", "127.0.0.1"),
            ("{{host}}", "127.0.0.1"),
            ("http://{{ host }}:{{ port }}/v3", "http://127.0.0.1:5000/v3"),
            ("{{ host }}{{ port }}", "127.0.0.15000"),
            ("a{{ empty }}b", "ab"),
            ("a } b }} c { d", "a } b }} c { d"),
        ] {
            let resolved = Template::parse(template).unwrap().resolve(&values).unwrap();
            assert_eq!(resolved, expected, "{template:?}");
        }
    }

    #[test]
    fn a_template_with_an_open_end_is_refused() {
        let error = Template::parse("{{ host }} {{ port").unwrap_err();
        assert_eq!(error.to_string(), "unmatched '{{' in template \"{{ host }} {{ port\"");
    }

    #[test]
    fn an_override_wins_over_the_environment_and_that_over_the_default() {
        let variables = variables(&[("a", Some("default")), ("b", Some("default")), ("c", Some("default"))]);
        let overrides = HashMap::from([("a".to_owned(), "override".to_owned())]);
        let environment = |name: &str| Ok((name != "c").then(|| "environment".to_owned()));
        let values = Values::choose(&variables, &overrides, environment).unwrap();
        assert_eq!(values.get("a").unwrap(), "override");
        assert_eq!(values.get("b").unwrap(), "environment");
        assert_eq!(values.get("c").unwrap(), "default");
    }

    #[test]
    fn a_required_variable_needs_a_value() {
        let variables = variables(&[("db_password", None)]);
        let error = Values::choose(&variables, &HashMap::new(), |_| Ok(None)).err().unwrap();
        assert_eq!(error.to_string(), "required variable \"db_password\" has no value; set SPIN_VARIABLE_DB_PASSWORD");
    }

    #[test]
    fn an_override_of_an_undefined_variable_is_refused() {
        let overrides = HashMap::from([("auth_mod".to_owned(), "noauth".to_owned())]);
        let error = Values::choose(&variables(&[]), &overrides, |_| Ok(None)).err().unwrap();
        assert_eq!(error.to_string(), "variable \"auth_mod\" is set, but the manifest defines no such variable");
    }

    #[test]
    fn a_guest_gets_spins_answers() {
        let templates = BTreeMap::from([("mode".to_owned(), Template::parse("{{ auth_mode }}").unwrap())]);
        let component =
            ComponentVariables::resolve("snapshots", &templates, &values(&[("auth_mode", "noauth")])).unwrap();
        assert_eq!(component.get("mode").unwrap(), "noauth");
        // An application variable that the component's section does not name is hidden from it.
        assert_eq!(
            component.get("auth_mode"),
            Err(VariableError::Undefined("no variable for \"snapshots\".\"auth_mode\"".to_owned()))
        );
        for (name, reason) in [
            ("", "\"\": must not be empty"),
            ("1st", "\"1st\": must start with a lowercase ASCII letter"),
            ("a_", "\"a_\": must end with a lowercase ASCII letter or digit"),
            ("a__b", "\"a__b\": must not contain multiple consecutive underscores"),
            (
                "Mode",
                "\"Mode\": invalid character 'M'. Variable names may contain only lower-case letters, numbers, and underscores.",
            ),
        ] {
            assert_eq!(component.get(name), Err(VariableError::InvalidName(reason.to_owned())));
        }
    }
}
