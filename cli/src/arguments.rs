//! The command line.
//!
//! It must not know how a command works. Its comments are the help text.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The address of the service if nobody chooses another one. 8776 is Cinder's port.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8776";
/// The URL of a service with that address.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8776";

const EXIT_CODES: &str = "Exit codes: 0 for success, and for a service that SIGINT or SIGTERM stopped; 1 for a service that \
                          cannot start or is not healthy, with the reason in one line; 2 for a wrong command line.";

/// The volume snapshots API of OpenStack Block Storage v3 (Cinder), for development and tests
#[derive(Debug, Parser)]
#[command(name = "volume-snapshots", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, and a Keystone to sign in at, until Ctrl-C or SIGTERM
    Up(Up),
    /// Print the variables with which clients sign in: eval "$(volume-snapshots env)"
    Env(Client),
    /// Print a clouds.yaml with the clouds `local` and `local-admin`
    Clouds(Client),
    /// Ask a running service whether it is healthy
    Health(Health),
}

#[derive(Debug, Args)]
#[command(after_help = UP_HELP)]
pub struct Up {
    /// The address to serve on
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    pub listen: String,
    /// The port to serve on, in place of that of --listen; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Keep the state in this directory; without it, the state is in memory and lost at the end
    #[arg(long, value_name = "DIRECTORY")]
    pub state_dir: Option<PathBuf>,
    /// Start with this state document (JSON), unless the state directory has volumes or snapshots already
    #[arg(long, value_name = "FILE")]
    pub seed: Option<PathBuf>,
    /// Take the users, projects, and passwords of this document (JSON) in place of admin and demo
    #[arg(long, value_name = "FILE")]
    pub identity_seed: Option<PathBuf>,
    /// Set a variable of the service; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub set: Vec<(String, String)>,
    /// The secret that opens the operator's routes below /_ops; by default a random one, which is printed
    #[arg(long, value_name = "SECRET", env = "VOLUME_SNAPSHOTS_OPS_TOKEN", hide_env_values = true)]
    pub ops_token: Option<String>,
    /// Print no help at the start, only the line `Serving http://...`
    #[arg(long, short)]
    pub quiet: bool,
    /// Stop when standard input ends, as it does when the program that started this one is gone
    #[arg(long)]
    pub stop_with_stdin: bool,
    /// Log one line a request: method, path, status, time, and request id
    #[arg(long)]
    pub log_requests: bool,
    /// The format of the log, which goes to standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Run this manifest and the components that it names in place of those within this program
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

const UP_HELP: &str = "Variables may also be set in the environment: SPIN_VARIABLE_MAX_LIMIT=100 is as --set max_limit=100, \
                       which wins. `up` itself sets dev_identity=on, auth_mode=keystone, and what they need. The first \
                       start compiles the components and keeps the result in the cache directory of the user.";

/// A format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, in colours on a terminal unless `NO_COLOR` is set
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub struct Client {
    /// The URL of the service
    #[arg(long, default_value = DEFAULT_URL, value_parser = base_url)]
    pub url: String,
    /// The user; `clouds` ignores it
    #[arg(long, default_value = "demo", conflicts_with = "admin")]
    pub user: String,
    /// The password; by default the name of the user
    #[arg(long)]
    pub password: Option<String>,
    /// The project; by default the name of the user
    #[arg(long)]
    pub project: Option<String>,
    /// Sign in as the administrator: short for --user admin
    #[arg(long)]
    pub admin: bool,
}

#[derive(Debug, Args)]
pub struct Health {
    /// The URL of the service
    #[arg(long, default_value = DEFAULT_URL, value_parser = base_url)]
    pub url: String,
}

fn name_and_value(argument: &str) -> Result<(String, String), String> {
    let (name, value) = argument.split_once('=').ok_or("it is not NAME=VALUE, such as create_seconds=0")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Checks a URL of the form `http://host:port`, and removes a slash at its end.
fn base_url(argument: &str) -> Result<String, String> {
    let uri: http::Uri = argument.parse().map_err(|_| "it is not a URL, such as http://127.0.0.1:8776")?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() || uri.path() != "/" || uri.query().is_some() {
        return Err(format!("it is not of the form {DEFAULT_URL}"));
    }
    Ok(argument.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn variables_and_urls_are_checked() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(name_and_value("a").is_err());
        assert_eq!(base_url("http://[::1]:1/").as_deref(), Ok("http://[::1]:1"));
        for wrong in ["127.0.0.1:8776", "https://a", "http://a/identity", "http://a?b=c", ""] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }
}
