//! The destination of the log: of a guest's standard output and standard error, and of the host's own messages. It is
//! this program's standard error, a function of the program, or a list that a test reads.
//!
//! It must not know what the lines mean. Both streams have the same destination and keep their order, as an operator
//! sees them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A destination for the output of guests. Clones share it.
#[derive(Clone, Default)]
pub struct Output {
    destination: Destination,
}

#[derive(Clone, Default)]
enum Destination {
    #[default]
    StandardError,
    /// The lines printed so far.
    Captured(Arc<Mutex<Vec<String>>>),
    Function(Arc<dyn Fn(&str) + Send + Sync>),
}

impl Output {
    /// Returns the destination that is this program's standard error.
    pub fn standard_error() -> Self {
        Self { destination: Destination::StandardError }
    }

    /// Returns a destination in memory, which [`Output::lines`] reads.
    pub fn captured() -> Self {
        Self { destination: Destination::Captured(Arc::default()) }
    }

    /// Returns a destination that passes each line to a function.
    pub fn function(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { destination: Destination::Function(Arc::new(write)) }
    }

    /// Returns all lines captured so far, or none if the output is not captured.
    pub fn lines(&self) -> Vec<String> {
        match &self.destination {
            Destination::Captured(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Destination::StandardError | Destination::Function(_) => Vec::new(),
        }
    }

    fn print(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match &self.destination {
            Destination::Captured(lines) => {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.into_owned());
            }
            Destination::StandardError | Destination::Function(_) => self.report(&line),
        }
    }

    /// Writes a message of the host itself. It is never captured, so that tests see only the lines of guests.
    pub(crate) fn report(&self, line: &str) {
        match &self.destination {
            Destination::Function(write) => write(line),
            // `eprintln!` writes the line under one lock, so the lines of two requests do not mix.
            Destination::StandardError | Destination::Captured(_) => eprintln!("{line}"),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &self.destination {
            Destination::StandardError => "Output::StandardError",
            Destination::Captured(_) => "Output::Captured",
            Destination::Function(_) => "Output::Function",
        })
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineWriter { output: self.clone(), unfinished: Vec::new() })
    }
}

/// Splits the output of one guest into lines. A last line without a line break is printed when the guest is gone.
struct LineWriter {
    output: Output,
    unfinished: Vec<u8>,
}

impl AsyncWrite for LineWriter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end_of_line) => {
                    self.unfinished.extend_from_slice(end_of_line);
                    let line = std::mem::take(&mut self.unfinished);
                    self.output.print(&line);
                }
                None => self.unfinished.extend_from_slice(part),
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.unfinished.is_empty() {
            self.output.print(&self.unfinished);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn output_is_cut_into_lines() {
        let output = Output::captured();
        let mut stream = Box::into_pin(output.async_stream());
        stream.write_all(b"one\ntw").await.unwrap();
        assert_eq!(output.lines(), ["one"]);
        stream.write_all(b"o\n\nlast").await.unwrap();
        drop(stream);
        assert_eq!(output.lines(), ["one", "two", "", "last"]);
    }

    #[tokio::test]
    async fn a_function_gets_the_lines_of_guests_and_of_the_host() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let output = Output::function(move |line| sink.lock().unwrap().push(line.to_owned()));
        Box::into_pin(output.async_stream()).write_all(b"guest\n").await.unwrap();
        output.report("host");
        assert_eq!(*lines.lock().unwrap(), ["guest", "host"]);
        assert!(output.lines().is_empty());
    }
}
