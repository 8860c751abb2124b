//! Bytes that grow while a zone is compiled, then are read at random places, on huge pages when there are many.
//!
//! Why not a `Vec`? A zone of a million names has 80 MB of index and nodes, which are 20,000 small pages: nearly every
//! lookup would miss the TLB twice before it misses the cache. Linux gives huge pages to those who ask (`madvise` is the
//! usual setting of transparent_hugepage/enabled), and the allocator does not ask. Asking is all that this does besides:
//! refused, or where the system has none, the bytes stand on small pages; few bytes stand in a `Vec`. No files are mapped.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Fewer bytes would not fill a few huge pages of 2 MiB, and their small pages stay in the TLB.
const MAPPED_BYTES_MIN: usize = 8 << 20;

/// Growing bytes.
#[derive(Debug, Default)]
pub struct Pages {
    memory: Memory,
    length: usize,
}

#[derive(Debug)]
enum Memory {
    /// Allocated; all of it is zero or written.
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Pages {
    /// Empty, with room for `bytes`. What is never written takes no memory.
    pub fn with_room(bytes: usize) -> Self {
        Pages { memory: Memory::of(bytes), length: 0 }
    }

    /// Appends bytes.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.need(end);
        self.memory.bytes_mut()[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Appends zeros.
    pub fn extend_zeros(&mut self, count: usize) {
        let end = self.length + count;
        self.need(end);
        self.memory.bytes_mut()[self.length..end].fill(0);
        self.length = end;
    }

    /// Takes back everything behind the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Gives back the room that is not used.
    pub fn shrink(&mut self) {
        // A mapping's rest was never written, so it is not there.
        if let Memory::Heap(bytes) = &mut self.memory {
            bytes.truncate(self.length);
            bytes.shrink_to_fit();
        }
    }

    fn need(&mut self, bytes: usize) {
        if bytes > self.memory.bytes().len() {
            let mut larger = Memory::of((2 * bytes).next_multiple_of(64));
            larger.bytes_mut()[..self.length].copy_from_slice(self);
            self.memory = larger;
        }
    }
}

impl Deref for Pages {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[..self.length]
    }
}

impl DerefMut for Pages {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[..self.length]
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::Heap(Vec::new())
    }
}

impl Memory {
    fn of(bytes: usize) -> Self {
        if bytes >= MAPPED_BYTES_MIN
            && let Ok(map) = MmapMut::map_anon(bytes)
        {
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage); // a kernel without them refuses; nothing is lost
            return Memory::Mapped(map);
        }
        Memory::Heap(vec![0; bytes])
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(map) => map,
        }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_while_they_grow_from_the_heap_into_a_mapping() {
        let mut pages = Pages::with_room(3);
        let block: Vec<u8> = (0..=255).collect();
        for _ in 0..2 * MAPPED_BYTES_MIN / block.len() {
            pages.extend(&block);
        }
        assert!(matches!(pages.memory, Memory::Mapped(_)));
        assert_eq!(pages.len(), 2 * MAPPED_BYTES_MIN);
        assert!(pages.chunks_exact(256).all(|chunk| chunk == block));
    }

    #[test]
    fn what_was_taken_back_is_zero_when_it_is_zeroed_again() {
        let mut pages = Pages::with_room(0);
        pages.extend(b"abcdef");
        pages.truncate(2);
        pages.extend_zeros(2);
        pages.shrink();
        pages.extend(b"x");
        assert_eq!(*pages, *b"ab\0\0x");
        pages[0] = b'z';
        assert_eq!(pages[..2], *b"zb");
    }
}
