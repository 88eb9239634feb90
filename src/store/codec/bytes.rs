//! A reader of values of fixed width, for the indexes and their pages. Numbers are big-endian.
//!
//! Rows go through `postcard`. With indexes and pages in it too, a create took 6.6 % more instructions, and a list of 100
//! took 7.7 % more: postcard reads numbers byte by byte, and ids behind their lengths (`docs/adr/0013-the-house.md`).

/// Stored bytes, read from the front.
#[derive(Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// Returns a reader at the start of the bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns whether all bytes have been read.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next `LENGTH` bytes.
    pub fn take<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Takes the next `length` bytes.
    pub fn take_slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn too_short() -> String {
    "it ends too early".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_end_too_early_are_refused_and_stay() {
        let mut bytes = Bytes::new(&[1, 2, 3]);
        assert_eq!(bytes.take(), Ok([1]));
        assert!(bytes.take::<3>().is_err());
        assert!(bytes.take_slice(3).is_err());
        assert_eq!(bytes.take_slice(2), Ok([2, 3].as_slice()));
        assert!(bytes.is_empty());
    }
}
