//! A ring of text records in a fixed buffer: new records overwrite the oldest.
//!
//! Each record is a header (time, level, length) and its text, one after another, wrapping at the
//! buffer's end. The owner locks.

/// Time (8 bytes), level (1), text length (2).
const HEADER: usize = 11;

/// The records, in `N` bytes.
pub(crate) struct LogRing<const N: usize> {
    bytes: [u8; N],
    /// Where the oldest record starts; positions count on for ever and wrap when used.
    oldest: u64,
    /// Where the next record goes.
    end: u64,
    oldest_sequence: u64,
    next_sequence: u64,
}

/// A record without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) time_ns: u64,
    pub(crate) level: u8,
    /// Bytes of text.
    pub(crate) length: usize,
    position: u64,
}

impl<const N: usize> LogRing<N> {
    /// Makes an empty ring.
    pub(crate) const fn new() -> LogRing<N> {
        LogRing { bytes: [0; N], oldest: 0, end: 0, oldest_sequence: 0, next_sequence: 0 }
    }

    /// Appends a record. Text that cannot fit is cut.
    pub(crate) fn push(&mut self, time_ns: u64, level: u8, text: &[u8]) {
        let text = &text[..text.len().min(N - HEADER).min(usize::from(u16::MAX))];
        while self.end + (HEADER + text.len()) as u64 - self.oldest > N as u64 {
            let entry = self.entry(self.oldest, self.oldest_sequence);
            self.oldest = entry.position + entry.length as u64;
            self.oldest_sequence += 1;
        }

        self.append(&time_ns.to_le_bytes());
        self.append(&[level]);
        self.append(&(text.len() as u16).to_le_bytes());
        self.append(text);
        self.next_sequence += 1;
    }

    /// Returns the sequence number that the next record will get.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Returns the records from `sequence` on that are still there.
    pub(crate) fn entries(&self, sequence: u64) -> impl Iterator<Item = Entry> {
        let mut position = self.oldest;
        (self.oldest_sequence..self.next_sequence)
            .map(move |number| {
                let entry = self.entry(position, number);
                position = entry.position + entry.length as u64;
                entry
            })
            .filter(move |entry| entry.sequence >= sequence)
    }

    /// Copies the text of `entry` into `bytes` as far as it fits; returns how much.
    pub(crate) fn read_text(&self, entry: &Entry, bytes: &mut [u8]) -> usize {
        let length = entry.length.min(bytes.len());
        self.copy(entry.position, &mut bytes[..length]);
        length
    }

    fn entry(&self, position: u64, sequence: u64) -> Entry {
        let mut header = [0; HEADER];
        self.copy(position, &mut header);
        let mut time = [0; 8];
        time.copy_from_slice(&header[..8]);
        Entry {
            sequence,
            time_ns: u64::from_le_bytes(time),
            level: header[8],
            length: usize::from(u16::from_le_bytes([header[9], header[10]])),
            position: position + HEADER as u64,
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bytes[(self.end % N as u64) as usize] = byte;
            self.end += 1;
        }
    }

    fn copy(&self, position: u64, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.bytes[((position + index as u64) % N as u64) as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogRing;

    fn texts<const N: usize>(ring: &LogRing<N>, from: u64) -> Vec<(u64, String)> {
        ring.entries(from)
            .map(|entry| {
                let mut bytes = vec![0; entry.length];
                ring.read_text(&entry, &mut bytes);
                (entry.sequence, String::from_utf8(bytes).expect("what was put in"))
            })
            .collect()
    }

    #[test]
    fn keeps_records_in_order() {
        let mut ring = LogRing::<256>::new();
        ring.push(1, 6, b"one");
        ring.push(2, 4, b"two");
        assert_eq!(texts(&ring, 0), [(0, "one".into()), (1, "two".into())]);
        assert_eq!(texts(&ring, 1), [(1, "two".into())]);
        let entry = ring.entries(1).next().expect("the second record");
        assert_eq!((entry.time_ns, entry.level), (2, 4));
    }

    #[test]
    fn overwrites_the_oldest_records_whole() {
        let mut ring = LogRing::<64>::new();
        for number in 0..100 {
            ring.push(number, 6, format!("record {number}").as_bytes());
        }
        let texts = texts(&ring, 0);
        assert_eq!(texts.last(), Some(&(99, "record 99".into())));
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|(sequence, text)| *text == format!("record {sequence}")));
    }

    #[test]
    fn cuts_text_longer_than_the_ring() {
        let mut ring = LogRing::<32>::new();
        ring.push(0, 0, &[b'x'; 100]);
        assert_eq!(texts(&ring, 0)[0].1.len(), 21);
    }
}
