//! What Envoy's `header_to_metadata` filter kept of a request: headers of the client, as metadata of the stream.
//!
//! A miss reads all of it with one host call. Envoy writes a map as it writes headers (`serializeValue` in `wasm/context.cc`,
//! `PairsUtil::marshalPairs` in proxy-wasm-cpp-host): the number of pairs, the two lengths of each, then names and values, each
//! with a NUL behind it.

/// The metadata's namespace.
pub const NAMESPACE: &str = "mirror_on_miss";

/// Metadata of a stream, as Envoy wrote it. Without any bytes it is empty.
#[derive(Clone, Debug, Default)]
pub struct StreamMetadata(Vec<u8>);

impl StreamMetadata {
    /// Makes metadata of the bytes that Envoy wrote.
    pub fn new(written: Vec<u8>) -> Self {
        Self(written)
    }

    /// Returns the value of `name`. `None` also where what was written ends before it.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let (count, rest) = self.0.split_first_chunk::<4>()?;
        let (lengths, mut texts) = rest.split_at_checked(size(count)?.checked_mul(8)?)?;
        let (lengths, _) = lengths.as_chunks::<4>();
        for pair in lengths.chunks_exact(2) {
            let [known, value] = [take(&mut texts, pair.first()?)?, take(&mut texts, pair.last()?)?];
            if known == name.as_bytes() {
                return Some(value);
            }
        }
        None
    }
}

/// Takes a text of this length off the front, and the NUL behind it.
fn take<'a>(texts: &mut &'a [u8], length: &[u8; 4]) -> Option<&'a [u8]> {
    let (text, rest) = texts.split_at_checked(size(length)?)?;
    (_, *texts) = rest.split_first()?;
    Some(text)
}

fn size(written: &[u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*written)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let size = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        let mut written = (pairs.len() as u32).to_le_bytes().to_vec();
        pairs.iter().for_each(|(name, value)| written.extend([size(name.as_bytes()), size(value)].concat()));
        pairs.iter().for_each(|(name, value)| written.extend([name.as_bytes(), b"\0", value, b"\0"].concat()));
        written
    }

    #[test]
    fn each_value_is_found_by_its_name_alone() {
        let metadata = StreamMetadata::new(written(&[("range", b"bytes=0-"), ("if-range", b""), ("x", b"a\0range")]));
        assert_eq!(metadata.get("range"), Some(&b"bytes=0-"[..]));
        assert_eq!(metadata.get("if-range"), Some(&b""[..]));
        assert_eq!(metadata.get("x"), Some(&b"a\0range"[..]));
        assert_eq!((metadata.get("traceparent"), metadata.get("")), (None, None));
        assert_eq!(StreamMetadata::default().get("range"), None);
    }

    #[test]
    fn what_was_cut_has_no_more_than_is_there() {
        let whole = written(&[("a", b"1"), ("b", b"2")]);
        for length in 0..whole.len() {
            let cut = StreamMetadata::new(whole[..length].to_vec());
            assert_eq!(cut.get("b"), None, "{length}");
            assert!(cut.get("a").is_none_or(|value| value == b"1"), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_panic_it(bytes in proptest::collection::vec(0..4_u8, 0..40)) {
            let _ = StreamMetadata::new(bytes).get("a");
        }
    }
}
