//! Reads `spin.toml`: the part of manifest version 2 that this project uses.
//!
//! A key or feature that this host does not know is an error and is never skipped, so that a manifest that runs here
//! runs the same on Spin. It must not know what the components do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::outbound::AllowedHosts;
use crate::routes::{Route, Routes};
use crate::schedule::Schedule;
use crate::variables::{Template, Variable, check_name};

/// The only store label that Spin defines without a runtime configuration.
const STORE_LABEL: &str = "default";

/// A checked manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The application's name.
    pub application: String,
    /// The components, sorted by their ids. Other fields name a component by its place here.
    pub components: Vec<ManifestComponent>,
    /// The application's variables.
    pub variables: BTreeMap<String, Variable>,
    /// The routes of the HTTP triggers.
    pub(crate) routes: Routes,
    /// The cron triggers.
    pub(crate) cron: Vec<CronTime>,
}

/// One component of a manifest.
#[derive(Clone, Debug)]
pub struct ManifestComponent {
    /// The id, which is also the host name of requests from other components.
    pub id: String,
    /// The WebAssembly.
    pub source: Source,
    /// The labels of the stores that the component may open.
    pub key_value_stores: BTreeSet<String>,
    /// The component's variables, as templates over those of the application.
    pub(crate) variables: BTreeMap<String, Template>,
    /// Hosts that the component may call, as templates.
    pub(crate) allowed_outbound_hosts: Vec<Template>,
}

/// The place of a component's WebAssembly. It is displayed as a name for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Bytes that this program contains.
    Embedded(&'static [u8]),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Embedded(_) => formatter.write_str("the component within this program"),
        }
    }
}

/// One cron trigger: the times of a component's scheduled event.
#[derive(Clone, Debug)]
pub(crate) struct CronTime {
    pub(crate) component: usize,
    pub(crate) schedule: Schedule,
}

impl Manifest {
    /// Reads and checks a manifest, and checks that its wasm files exist.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, is not a manifest, uses a feature that this host does not offer, or when a
    /// wasm file is missing.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the manifest {}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let manifest = Self::parse(&text, directory).with_context(|| format!("cannot run {}", path.display()))?;
        for component in &manifest.components {
            if let Source::File(path) = &component.source {
                ensure!(path.is_file(), "the component {} does not exist; run `make build`", path.display());
            }
        }
        Ok(manifest)
    }

    /// Parses and checks a manifest whose components this program contains, given by their ids. The sources in the
    /// manifest do not matter.
    ///
    /// # Errors
    ///
    /// Fails like [`Manifest::parse`], and when a component is not given.
    pub fn embedded(text: &str, components: &[(&str, &'static [u8])]) -> Result<Self> {
        let mut manifest = Self::parse(text, Path::new(""))?;
        for component in &mut manifest.components {
            let given = components.iter().find(|(id, _)| *id == component.id);
            let (_, bytes) = given.with_context(|| format!("this program lacks the component {:?}", component.id))?;
            component.source = Source::Embedded(bytes);
        }
        Ok(manifest)
    }

    /// Parses and checks a manifest. The wasm files are relative to `directory` and need not exist.
    ///
    /// # Errors
    ///
    /// Fails when the text is not a manifest or uses a feature that this host does not offer.
    pub fn parse(text: &str, directory: &Path) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| at_line(text, &error))?;
        ensure!(
            file.spin_manifest_version == 2,
            "spin_manifest_version is {}; this host reads version 2",
            file.spin_manifest_version
        );
        let variables = variables(file.variables)?;
        let ids: Vec<&str> = file.component.keys().map(String::as_str).collect();
        let routes = routes(&file.trigger.http, &ids)?;
        let cron = cron(&file.trigger.cron, &ids)?;
        ensure!(!ids.is_empty(), "there is no component");
        for (place, id) in ids.iter().enumerate() {
            ensure!(
                routes.lead_to(place) || cron.iter().any(|time| time.component == place),
                "component {id:?} has no trigger; add [[trigger.http]] or [[trigger.cron]]"
            );
        }
        let components = file.component.into_iter().map(|(id, section)| component(id, section, directory, &variables));
        let components = components.collect::<Result<_>>()?;
        Ok(Self { application: file.application.name, components, variables, routes, cron })
    }

    /// Returns the place of a component.
    pub(crate) fn place_of(&self, id: &str) -> Option<usize> {
        self.components.iter().position(|component| component.id == id)
    }
}

/// Returns a one-line error with the position in the manifest. Spin may know the key that this host refuses.
fn at_line(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let place = error.span().map_or(String::new(), |span| {
        let line = text[..span.start].matches('\n').count() + 1;
        format!("line {line}: ")
    });
    let what = error.message();
    anyhow!("{place}{what} (this host runs only what this project's spin.toml uses; run anything else on Spin)")
}

fn routes(triggers: &[HttpTrigger], ids: &[&str]) -> Result<Routes> {
    let route = |trigger: &HttpTrigger| Route::parse(&trigger.route, place_of(&trigger.component, ids)?);
    Routes::new(triggers.iter().map(route).collect::<Result<_>>()?)
}

fn cron(triggers: &[CronTrigger], ids: &[&str]) -> Result<Vec<CronTime>> {
    let time = |trigger: &CronTrigger| {
        let component = place_of(&trigger.component, ids)?;
        Ok(CronTime { component, schedule: Schedule::parse(&trigger.cron_expression)? })
    };
    triggers.iter().map(time).collect()
}

fn place_of(named: &str, ids: &[&str]) -> Result<usize> {
    let place = ids.iter().position(|id| *id == named);
    place.with_context(|| format!("a trigger names the component {named:?}, but the components are {ids:?}"))
}

fn component(
    id: String,
    section: ComponentSection,
    directory: &Path,
    variables: &BTreeMap<String, Variable>,
) -> Result<ManifestComponent> {
    for label in &section.key_value_stores {
        ensure!(
            label == STORE_LABEL,
            "unknown key-value store {label:?} of component {id:?}; this host offers only {STORE_LABEL:?}"
        );
    }
    Ok(ManifestComponent {
        source: Source::File(directory.join(&section.source)),
        key_value_stores: section.key_value_stores.into_iter().collect(),
        variables: component_variables(&id, section.variables, variables)?,
        allowed_outbound_hosts: allowed_outbound_hosts(section.allowed_outbound_hosts, variables)?,
        id,
    })
}

fn variables(sections: BTreeMap<String, VariableSection>) -> Result<BTreeMap<String, Variable>> {
    let variable = |(name, section): (String, VariableSection)| {
        check_name(&name).map_err(anyhow::Error::msg).context("bad name in [variables]")?;
        ensure!(
            section.required != section.default.is_some(),
            "variable {name:?} must have either a default or required = true"
        );
        Ok((name, Variable { default: section.default, secret: section.secret }))
    };
    sections.into_iter().map(variable).collect()
}

fn component_variables(
    component: &str,
    templates: BTreeMap<String, String>,
    variables: &BTreeMap<String, Variable>,
) -> Result<BTreeMap<String, Template>> {
    let parse = |(name, template): (String, String)| {
        let in_section = || format!("variable {name:?} of component {component:?}");
        check_name(&name).map_err(anyhow::Error::msg).with_context(in_section)?;
        let template = checked_template(&template, variables).with_context(in_section)?;
        Ok((name, template))
    };
    templates.into_iter().map(parse).collect()
}

fn allowed_outbound_hosts(hosts: Vec<String>, variables: &BTreeMap<String, Variable>) -> Result<Vec<Template>> {
    let parse = |host: String| {
        let template = checked_template(&host, variables).with_context(|| format!("allowed outbound host {host:?}"))?;
        if template.variables().next().is_none() {
            // An entry with variables can only be checked once they have values.
            AllowedHosts::parse([host.as_str()])?;
        }
        Ok(template)
    };
    hosts.into_iter().map(parse).collect()
}

fn checked_template(template: &str, variables: &BTreeMap<String, Variable>) -> Result<Template> {
    let template = Template::parse(template)?;
    if let Some(unknown) = template.variables().find(|name| !variables.contains_key(*name)) {
        bail!("unknown variable {unknown:?}; [variables] does not define it");
    }
    Ok(template)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    spin_manifest_version: u32,
    application: ApplicationSection,
    #[serde(default)]
    variables: BTreeMap<String, VariableSection>,
    #[serde(default)]
    trigger: Triggers,
    #[serde(default)]
    component: BTreeMap<String, ComponentSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationSection {
    name: String,
    #[serde(default, rename = "version")]
    _version: IgnoredAny,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default, rename = "authors")]
    _authors: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariableSection {
    default: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    secret: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    #[serde(default)]
    http: Vec<HttpTrigger>,
    #[serde(default)]
    cron: Vec<CronTrigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTrigger {
    route: String,
    component: String,
    #[serde(default, rename = "id")]
    _id: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CronTrigger {
    component: String,
    cron_expression: String,
    #[serde(default, rename = "id")]
    _id: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentSection {
    source: PathBuf,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    /// The build command of the component. It has no effect at run time.
    #[serde(default, rename = "build")]
    _build: Option<BuildSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildSection {
    #[serde(rename = "command")]
    _command: IgnoredAny,
    #[serde(default, rename = "workdir")]
    _workdir: IgnoredAny,
    #[serde(default, rename = "watch")]
    _watch: IgnoredAny,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "snapshots"
version = "0.1.0"
authors = ["somebody"]

[variables]
mode = { default = "noauth" }
host = { default = "127.0.0.1", secret = true }
password = { required = true }

[[trigger.http]]
route = "/..."
component = "snapshots"

[[trigger.cron]]
component = "snapshots"
cron_expression = "*/2 * * * * *"

[component.snapshots]
source = "target/snapshots.wasm"
key_value_stores = ["default"]
allowed_outbound_hosts = ["http://127.0.0.1:5000", "http://{{ host }}:80"]

[component.snapshots.variables]
mode = "{{ mode }}"
url = "http://{{ host }}:5000/v3"

[component.snapshots.build]
command = "cargo build"
watch = ["src/**/*.rs"]
"#;

    fn error_of(from: &str, to: &str) -> String {
        assert!(MANIFEST.contains(from), "{from:?} is not in the manifest");
        let error = Manifest::parse(&MANIFEST.replace(from, to), Path::new("")).unwrap_err();
        format!("{error:#}")
    }

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(MANIFEST, Path::new("/app")).unwrap();
        assert_eq!(manifest.application, "snapshots");
        assert_eq!(manifest.variables["password"], Variable { default: None, secret: false });
        assert!(manifest.variables["host"].secret);
        assert!(manifest.routes.lead_to(0));
        assert_eq!(manifest.cron.len(), 1);
        let [component] = &manifest.components[..] else { panic!("{:?}", manifest.components) };
        assert_eq!(component.id, "snapshots");
        assert_eq!(component.source, Source::File(PathBuf::from("/app/target/snapshots.wasm")));
        assert!(component.key_value_stores.contains("default"));
        assert_eq!(component.variables["url"].variables().collect::<Vec<_>>(), ["host"]);
        assert_eq!(component.allowed_outbound_hosts.len(), 2);
    }

    #[test]
    fn a_program_may_contain_the_components() {
        let manifest = Manifest::embedded(MANIFEST, &[("other", b"a"), ("snapshots", b"b")]).unwrap();
        assert_eq!(manifest.components[0].source, Source::Embedded(b"b"));
        let error = Manifest::embedded(MANIFEST, &[("other", b"a")]).unwrap_err();
        assert_eq!(error.to_string(), "this program lacks the component \"snapshots\"");
    }

    #[test]
    fn a_manifest_without_a_schedule_is_read() {
        let cron = "[[trigger.cron]]\ncomponent = \"snapshots\"\ncron_expression = \"*/2 * * * * *\"\n";
        let manifest = Manifest::parse(&MANIFEST.replace(cron, ""), Path::new("")).unwrap();
        assert!(manifest.cron.is_empty());
    }

    #[test]
    fn what_the_host_does_not_offer_is_refused_by_name() {
        for (from, to, expected) in [
            ("version = 2", "version = 1", "spin_manifest_version is 1; this host reads version 2"),
            ("name = \"snapshots\"\n", "", "missing field `name`"),
            ("authors =", "targets =", "unknown field `targets`"),
            ("[[trigger.http]]", "[[trigger.redis]]", "unknown field `redis`"),
            (
                "route = \"/...\"",
                "route = \"/:project/...\"",
                "the HTTP route is \"/:project/...\"; this host serves exact",
            ),
            ("route = \"/...\"", "route = { private = true }", "invalid type: map, expected a string"),
            ("route = \"/...\"", "route = \"/...\"\nexecutor = { type = \"wagi\" }", "unknown field `executor`"),
            (
                "component = \"snapshots\"\ncron",
                "component = \"other\"\ncron",
                "a trigger names the component \"other\", but the components are [\"snapshots\"]",
            ),
            ("*/2 * * * * *", "*/2 * * * *", "bad cron expression \"*/2 * * * *\""),
            ("*/2 * * * * *", "61 * * * * *", "bad cron expression \"61 * * * * *\""),
            ("source = \"target/snapshots.wasm\"", "source = { url = \"x\", digest = \"y\" }", "invalid type: map"),
            (
                "key_value_stores = [\"default\"]",
                "sqlite_databases = [\"default\"]",
                "unknown field `sqlite_databases`",
            ),
            (
                "[\"default\"]",
                "[\"default\", \"other\"]",
                "unknown key-value store \"other\" of component \"snapshots\"",
            ),
            ("watch =", "profile =", "unknown field `profile`"),
            ("{ required = true }", "{ required = true, default = \"x\" }", "variable \"password\" must have either"),
            ("{ required = true }", "{ secret = true }", "variable \"password\" must have either"),
            ("password = {", "Password = {", "invalid character 'P'"),
            ("\"{{ mode }}\"", "\"{{ mod }}\"", "unknown variable \"mod\"; [variables] does not define it"),
            ("\"{{ mode }}\"", "\"{{ mode\"", "unmatched '{{'"),
            ("http://{{ host }}:80", "http://{{ hots }}:80", "unknown variable \"hots\""),
            ("\"http://127.0.0.1:5000\"", "\"127.0.0.1:5000\"", "does not contain a scheme"),
            ("[component.snapshots.build]", "[component.other]", "unknown field `command`"),
        ] {
            let error = error_of(from, to);
            assert!(error.contains(expected), "{from:?} -> {to:?}: {error}");
        }
    }

    #[test]
    fn an_unknown_key_is_blamed_on_the_host() {
        assert_eq!(
            error_of("watch =", "profile ="),
            "line 33: unknown field `profile`, expected one of `command`, `workdir`, `watch` \
             (this host runs only what this project's spin.toml uses; run anything else on Spin)"
        );
    }

    /// A second component, with nothing but its trigger in common with the first.
    const SECOND: &str = r#"
[[trigger.http]]
route = "/identity/..."
component = "identity"

[component.identity]
source = "target/identity.wasm"

[component.identity.variables]
mode = "always {{ mode }}"
"#;

    #[test]
    fn each_component_has_its_own_section() {
        let manifest = Manifest::parse(&format!("{MANIFEST}{SECOND}"), Path::new("/app")).unwrap();
        let [identity, snapshots] = &manifest.components[..] else { panic!("{:?}", manifest.components) };
        assert_eq!((identity.id.as_str(), snapshots.id.as_str()), ("identity", "snapshots"));
        assert_eq!(identity.source, Source::File(PathBuf::from("/app/target/identity.wasm")));
        assert_eq!(identity.variables.keys().collect::<Vec<_>>(), ["mode"]);
        assert!(identity.key_value_stores.is_empty() && identity.allowed_outbound_hosts.is_empty());
        assert_eq!(snapshots.variables.keys().collect::<Vec<_>>(), ["mode", "url"]);
        assert_eq!(manifest.routes.matching("/identity/v3").unwrap().component, 0);
        assert_eq!(manifest.routes.matching("/v3").unwrap().component, 1);
        assert_eq!(manifest.cron.iter().map(|time| time.component).collect::<Vec<_>>(), [1]);
        assert_eq!((manifest.place_of("snapshots"), manifest.place_of("other")), (Some(1), None));
    }

    #[test]
    fn triggers_that_contradict_each_other_are_refused() {
        for (from, to, expected) in [
            ("\"/identity/...\"", "\"/...\"", "two HTTP triggers have the route \"/...\""),
            ("component = \"identity\"", "component = \"snapshots\"", "component \"identity\" has no trigger"),
            (
                "component = \"identity\"",
                "component = \"idntity\"",
                "but the components are [\"identity\", \"snapshots\"]",
            ),
            ("[component.identity]", "[component.snapshots]", "duplicate key"),
        ] {
            let second = SECOND.replacen(from, to, 1);
            assert_ne!(second, SECOND);
            let error = Manifest::parse(&format!("{MANIFEST}{second}"), Path::new("")).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(expected), "{from:?} -> {to:?}: {error}");
        }
    }

    #[test]
    fn a_missing_component_file_says_how_to_build_it() {
        let directory = std::env::temp_dir().join(format!("manifest-test-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("spin.toml");
        std::fs::write(&path, MANIFEST).unwrap();
        let error = Manifest::load(&path).unwrap_err().to_string();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(error.ends_with("target/snapshots.wasm does not exist; run `make build`"), "{error}");
    }

    #[test]
    fn a_missing_manifest_is_named() {
        let error = Manifest::load("/nowhere/spin.toml").unwrap_err();
        assert_eq!(error.to_string(), "cannot read the manifest /nowhere/spin.toml");
    }
}
