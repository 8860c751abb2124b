//! The name that is being looked up, lower case, with the place of every label.
//!
//! A [`crate::dns::name::Name`] owns what was configured; this lives on the stack of one query, so that suffixes are
//! found without walking the labels again and nothing is allocated.

use xxhash_rust::xxh3::xxh3_64;

use crate::dns::name::{LABEL_BYTES_MAX, NAME_BYTES_MAX, NameError};

/// The most labels of a name, the root not counted: 127 of one byte each.
pub const LABELS_MAX: usize = 127;
/// Lower-casing works on whole blocks of this size, which the compiler turns into vector instructions.
const BLOCK: usize = 32;

/// A name in wire form, lower case.
#[derive(Clone)]
pub struct NameBuf {
    bytes: [u8; 256],
    starts: [u8; LABELS_MAX + 1],
    length: u8,
    labels: u8,
}

impl Default for NameBuf {
    fn default() -> Self {
        NameBuf { bytes: [0; 256], starts: [0; LABELS_MAX + 1], length: 1, labels: 0 }
    }
}

impl NameBuf {
    /// Takes the uncompressed name at `at` in `message`; gives the place after it.
    ///
    /// # Errors
    /// It ends early, holds a pointer, or is longer than 255 bytes.
    pub fn read(&mut self, message: &[u8], at: usize) -> Result<usize, NameError> {
        let mut place = at;
        let mut labels = 0;
        loop {
            let length = *message.get(place).ok_or(NameError::Wire)? as usize;
            if length > LABEL_BYTES_MAX {
                return Err(NameError::Wire);
            }
            // The check below keeps `place - at` at 254 or less here, and with it `labels` at 127 or less.
            self.starts[labels] = (place - at) as u8;
            place += 1 + length;
            if place - at > NAME_BYTES_MAX {
                return Err(NameError::TooLong);
            }
            if length == 0 {
                break;
            }
            labels += 1;
        }
        let wire = message.get(at..place).ok_or(NameError::Wire)?;
        self.bytes[..wire.len()].copy_from_slice(wire);
        self.bytes[..wire.len().next_multiple_of(BLOCK)].make_ascii_lowercase();
        self.length = wire.len() as u8;
        self.labels = labels as u8;
        Ok(place)
    }

    /// Takes a name's wire form.
    ///
    /// # Errors
    /// The bytes are not exactly one name.
    pub fn set(&mut self, wire: &[u8]) -> Result<(), NameError> {
        match self.read(wire, 0)? == wire.len() {
            true => Ok(()),
            false => Err(NameError::Wire),
        }
    }

    /// The wire form.
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..self.length as usize]
    }

    /// How many labels it has, the root not counted.
    pub fn labels(&self) -> usize {
        self.labels as usize
    }

    /// Its last `labels` labels; the whole name when it has no more.
    pub fn suffix(&self, labels: usize) -> &[u8] {
        let first = self.labels().saturating_sub(labels);
        &self.bytes[self.starts[first] as usize..self.length as usize]
    }
}

/// The hash under which a name in lower-case wire form is filed.
pub fn hash(wire: &[u8]) -> u64 {
    xxh3_64(wire)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dns::name::Name;

    #[test]
    fn case_goes_and_suffixes_are_found() {
        let mut name = NameBuf::default();
        assert_eq!(name.read(b"..\x03WwW\x07eXample\x03COM\x00..", 2), Ok(19));
        assert_eq!(name.wire(), b"\x03www\x07example\x03com\x00");
        assert_eq!(name.labels(), 3);
        assert_eq!(name.suffix(2), b"\x07example\x03com\x00");
        assert_eq!(name.suffix(0), b"\x00");
        assert_eq!(name.suffix(9), name.wire());
    }

    #[test]
    fn the_longest_names_fit_and_longer_ones_do_not() {
        let mut name = NameBuf::default();
        let longest: Vec<u8> = [1, b'a'].repeat(127).into_iter().chain([0]).collect();
        assert_eq!(name.set(&longest), Ok(()));
        assert_eq!(name.labels(), 127);
        let longer: Vec<u8> = [1, b'a'].repeat(128).into_iter().chain([0]).collect();
        assert_eq!(name.set(&longer), Err(NameError::TooLong));
    }

    proptest! {
        #[test]
        fn it_reads_what_a_name_reads(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut name = NameBuf::default();
            match (name.set(&bytes), Name::from_wire(&bytes)) {
                (Ok(()), Ok(owned)) => prop_assert_eq!(name.wire(), owned.wire()),
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{:?} against {:?}", ours, theirs),
            }
        }
    }
}
