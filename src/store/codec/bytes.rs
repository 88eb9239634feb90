//! The layout of values in bytes, one field after the other. Numbers have a fixed width and are big-endian. A string
//! follows its length. An optional field follows a byte that says whether it is present. So reading a row needs no
//! parser (`docs/adr/0007-rows-in-bytes.md`).
//!
//! This module must not know which fields a value has.

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

fn write_count(count: usize, bytes: &mut Vec<u8>) -> Result<(), String> {
    let count = u32::try_from(count).map_err(|_| format!("{count} does not fit four bytes"))?;
    bytes.extend_from_slice(&count.to_be_bytes());
    Ok(())
}

/// A field of a value. Strings are read without a copy, so a value that turns out to be invalid needs no cleanup: that
/// would be more code than reading is.
pub trait Field<'a>: Sized {
    /// Appends the field to the bytes.
    ///
    /// # Errors
    ///
    /// A string that names the part that the format cannot hold.
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String>;

    /// Reads a field that [`Field::write`] wrote.
    ///
    /// # Errors
    ///
    /// A string that says what is wrong with the bytes.
    fn read(bytes: &mut Bytes<'a>) -> Result<Self, String>;
}

macro_rules! number_field {
    ($($number:ty),+) => {$(
        impl Field<'_> for $number {
            fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
                bytes.extend_from_slice(&self.to_be_bytes());
                Ok(())
            }

            fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
                bytes.take().map(Self::from_be_bytes)
            }
        }
    )+};
}

number_field!(u8, u32, i64);

impl Field<'_> for bool {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        u8::from(*self).write(bytes)
    }

    fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
        match u8::read(bytes)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("{other} is not a boolean")),
        }
    }
}

/// Implements [`Field`] for ids. The file of a resource does so for the type of its id.
macro_rules! uuid_field {
    ($($id:ty),+) => {$(
        impl $crate::store::codec::bytes::Field<'_> for $id {
            fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
                bytes.extend_from_slice(self.as_uuid().as_bytes());
                Ok(())
            }

            fn read(bytes: &mut $crate::store::codec::bytes::Bytes<'_>) -> Result<Self, String> {
                bytes.take().map(|id| Self::new(uuid::Uuid::from_bytes(id)))
            }
        }
    )+};
}
pub(in crate::store) use uuid_field;

impl<'a> Field<'a> for &'a str {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        write_count(self.len(), bytes)?;
        bytes.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn read(bytes: &mut Bytes<'a>) -> Result<Self, String> {
        let length = usize::try_from(u32::read(bytes)?).map_err(|_| too_short())?;
        std::str::from_utf8(bytes.take_slice(length)?).map_err(|error| error.to_string())
    }
}

/// Implements [`Field`] for enums that are stored as their words.
macro_rules! word_field {
    ($($word:ty),+) => {$(
        impl $crate::store::codec::bytes::Field<'_> for $word {
            fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
                self.as_str().write(bytes)
            }

            fn read(bytes: &mut $crate::store::codec::bytes::Bytes<'_>) -> Result<Self, String> {
                <&str>::read(bytes)?.parse().map_err(|error: $crate::domain::UnknownWord| error.to_string())
            }
        }
    )+};
}
pub(in crate::store) use word_field;

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        self.is_some().write(bytes)?;
        self.as_ref().map_or(Ok(()), |value| value.write(bytes))
    }

    fn read(bytes: &mut Bytes<'a>) -> Result<Self, String> {
        if bool::read(bytes)? { T::read(bytes).map(Some) } else { Ok(None) }
    }
}

impl<'a, A: Field<'a>, B: Field<'a>> Field<'a> for (A, B) {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        self.0.write(bytes)?;
        self.1.write(bytes)
    }

    fn read(bytes: &mut Bytes<'a>) -> Result<Self, String> {
        Ok((A::read(bytes)?, B::read(bytes)?))
    }
}

impl<'a, A: Field<'a>, B: Field<'a>, C: Field<'a>> Field<'a> for (A, B, C) {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        self.0.write(bytes)?;
        self.1.write(bytes)?;
        self.2.write(bytes)
    }

    fn read(bytes: &mut Bytes<'a>) -> Result<Self, String> {
        Ok((A::read(bytes)?, B::read(bytes)?, C::read(bytes)?))
    }
}

impl<'a, T: Field<'a>> Field<'a> for Vec<T> {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        write_count(self.len(), bytes)?;
        self.iter().try_for_each(|value| value.write(bytes))
    }

    fn read(bytes: &mut Bytes<'a>) -> Result<Self, String> {
        let count = u32::read(bytes)?;
        (0..count).map(|_| T::read(bytes)).collect()
    }
}

/// Implements [`Field`] for a struct with at most one lifetime. The order in which the fields are named here is the
/// format.
macro_rules! fields {
    ($name:ident<$lifetime:lifetime> { $($field:ident),+ $(,)? }) => {
        impl<$lifetime> $crate::store::codec::bytes::Field<$lifetime> for $name<$lifetime> {
            $crate::store::codec::bytes::fields!(@methods $lifetime { $($field),+ });
        }
    };
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl<'a> $crate::store::codec::bytes::Field<'a> for $name {
            $crate::store::codec::bytes::fields!(@methods 'a { $($field),+ });
        }
    };
    (@methods $lifetime:lifetime { $($field:ident),+ }) => {
        fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
            $($crate::store::codec::bytes::Field::write(&self.$field, bytes)?;)+
            Ok(())
        }

        fn read(bytes: &mut $crate::store::codec::bytes::Bytes<$lifetime>) -> Result<Self, String> {
            Ok(Self { $($field: $crate::store::codec::bytes::Field::read(bytes)?),+ })
        }
    };
}
pub(in crate::store) use fields;

/// Reads a value that takes up all of the bytes.
///
/// # Errors
///
/// A string that says what is wrong with the bytes.
pub fn read_all<'a, T: Field<'a>>(stored: &'a [u8]) -> Result<T, String> {
    let mut bytes = Bytes::new(stored);
    let value = T::read(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err("it goes on after its last field".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<'a>(value: &impl Field<'a>) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.write(&mut bytes).expect("writes");
        bytes
    }

    #[test]
    fn a_field_reads_as_it_was_written_and_has_the_width_it_always_had() {
        assert_eq!(written(&7_u32), [0, 0, 0, 7]);
        assert_eq!(written(&-2_i64), [255, 255, 255, 255, 255, 255, 255, 254]);
        assert_eq!(written(&"é"), [0, 0, 0, 2, 0xc3, 0xa9]);
        assert_eq!(written(&None::<u8>), [0]);
        assert_eq!(written(&Some(true)), [1, 1]);
        assert_eq!(written(&vec![3_u8, 4]), [0, 0, 0, 2, 3, 4]);
        let pairs = vec![("a", "\n"), ("b", "")];
        assert_eq!(written(&pairs), [0, 0, 0, 2, 0, 0, 0, 1, b'a', 0, 0, 0, 1, 10, 0, 0, 0, 1, b'b', 0, 0, 0, 0]);
        assert_eq!(read_all(&written(&pairs)), Ok(pairs));
        assert_eq!(read_all(&written(&Some("string"))), Ok(Some("string")));
    }

    #[test]
    fn bytes_that_are_cut_short_or_go_on_or_are_no_string_are_refused() {
        let whole = written(&vec!["one", "two"]);
        for end in 0..whole.len() {
            assert!(read_all::<Vec<&str>>(&whole[..end]).is_err(), "{end}");
        }
        assert!(read_all::<Vec<&str>>(&[whole.as_slice(), b"x"].concat()).is_err());
        assert!(read_all::<&str>(&[0, 0, 0, 1, 0xff]).is_err());
        assert!(read_all::<bool>(&[2]).is_err());
        assert!(read_all::<Vec<Vec<&str>>>(&[255; 4]).is_err(), "an impossible count allocates nothing");
    }
}
