//! The destination of a guest's standard output and standard error: this program's standard error, or a list that a
//! test reads.
//!
//! It must not know what the lines mean. Both streams have the same destination and keep their order, as an operator
//! sees them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A destination for the output of guests. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The lines printed so far, or `None` if they go to standard error at once.
    captured: Option<Arc<Mutex<Vec<String>>>>,
}

impl Output {
    /// Returns the destination that is this program's standard error.
    pub fn standard_error() -> Self {
        Self { captured: None }
    }

    /// Returns a destination in memory, which [`Output::lines`] reads.
    pub fn captured() -> Self {
        Self { captured: Some(Arc::default()) }
    }

    /// Returns all lines captured so far, or none if the output is not captured.
    pub fn lines(&self) -> Vec<String> {
        match &self.captured {
            Some(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => Vec::new(),
        }
    }

    fn print(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match &self.captured {
            Some(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.into_owned()),
            // `eprintln!` writes the line under one lock, so the lines of two requests do not mix.
            None => eprintln!("{line}"),
        }
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
}
