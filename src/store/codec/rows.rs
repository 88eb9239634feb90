//! Rows in bytes: the fields of the stored form, one after the other, as `postcard` writes them. Reading one copies no
//! string.

use serde::{Deserialize, Serialize};

/// Appends the stored form of a row to the bytes.
///
/// # Errors
///
/// A string that names the part that the format cannot hold.
pub fn write(row: &impl Serialize, bytes: &mut Vec<u8>) -> Result<(), String> {
    postcard::to_io(row, bytes).map(|_| ()).map_err(|error| error.to_string())
}

/// Reads the stored form of a row, which takes up all of the bytes.
///
/// # Errors
///
/// A string that says what is wrong with the bytes.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let (row, rest) = postcard::take_from_bytes(bytes).map_err(|error| error.to_string())?;
    if rest.is_empty() { Ok(row) } else { Err("it goes on after its last field".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_cut_short_or_go_on_or_are_no_string_are_refused() {
        let strings = vec!["one", "two"];
        let mut whole = Vec::new();
        write(&strings, &mut whole).expect("writes");
        assert_eq!(read(&whole), Ok(strings));
        for end in 0..whole.len() {
            assert!(read::<Vec<&str>>(&whole[..end]).is_err(), "{end}");
        }
        assert!(read::<Vec<&str>>(&[whole.as_slice(), b"x"].concat()).is_err());
        assert!(read::<&str>(&[1, 0xff]).is_err());
        assert!(read::<bool>(&[2]).is_err());
        assert!(read::<Vec<Vec<&str>>>(&[255, 255, 255, 255, 15]).is_err(), "an impossible count allocates nothing");
    }
}
