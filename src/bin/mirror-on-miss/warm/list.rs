//! The list of keys: one at a time, so that no list is too long.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};
use quick_xml::events::Event;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The path of a key, encoded, with a slash in front.
    Path(String),
    /// A line that names no key.
    Unreadable(String),
}

impl Entry {
    /// Returns its text for people, which a list may have, too.
    pub fn text(&self) -> &str {
        match self {
            Self::Path(text) | Self::Unreadable(text) => text,
        }
    }
}

/// The first line of the file of failures, which is a list as well.
pub const FAILED: &str = "# mirror-on-miss warm: path, status, outcome, reason";

/// The characters of a key that stand for themselves in a path, beside letters and digits.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// Of a path that is encoded, what cannot be sent. All that is not ASCII is encoded as well.
const PATH: &AsciiSet = &CONTROLS.add(b' ');

/// Bytes that come one after the other.
type Source = Box<dyn BufRead + Send>;

/// The entries of a list.
pub enum Entries {
    Lines(Lines),
    Sitemap(Box<Sitemap>),
}

/// Opens a list, or the standard input for `-`, and looks at its first line.
pub fn open(list: &str) -> io::Result<Entries> {
    let source: Source = match list {
        "-" => Box::new(BufReader::new(io::stdin())),
        _ => Box::new(BufReader::new(File::open(list)?)),
    };
    Entries::read(source)
}

impl Entries {
    fn read(mut source: Source) -> io::Result<Self> {
        let mut first = Vec::new();
        while first.trim_ascii().is_empty() && source.read_until(b'\n', &mut first)? > 0 {}
        let line = first.trim_ascii();
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let form = match line {
            line if line.starts_with(b"<") => None,
            line if line == FAILED.as_bytes() => Some(of_failures as Form),
            line if line.starts_with(b"PRE ") || of_aws(line) != Some(unreadable(line)) => Some(of_aws as Form),
            _ => Some(of_keys as Form),
        };
        let whole: Source = Box::new(Cursor::new(first).chain(source));
        Ok(match form {
            Some(form) => Self::Lines(Lines { source: whole, form }),
            None => Self::Sitemap(Box::new(Sitemap { reader: quick_xml::Reader::from_reader(whole) })),
        })
    }
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Sitemap(sitemap) => sitemap.next(),
        }
    }
}

/// Reads a line. `None` for one that stands for no key, as a directory does.
type Form = fn(&[u8]) -> Option<Entry>;

/// A list with one key a line.
pub struct Lines {
    source: Source,
    form: Form,
}

impl Iterator for Lines {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        loop {
            line.clear();
            match self.source.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.is_empty()
                && let Some(entry) = (self.form)(text)
            {
                return Some(Ok(entry));
            }
        }
    }
}

fn of_keys(line: &[u8]) -> Option<Entry> {
    if line.starts_with(b"/") || line.starts_with(b"http://") || line.starts_with(b"https://") {
        return Some(of_url(line));
    }
    // `rclone lsf` ends the names of directories so.
    (!line.ends_with(b"/")).then(|| Entry::Path(format!("/{}", percent_encode(line, KEY))))
}

/// Reads the path of a URL, or a path alone.
fn of_url(url: &[u8]) -> Entry {
    let text = percent_encode(url, PATH).to_string();
    let behind_scheme = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let path = match behind_scheme {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => &text,
    };
    Entry::Path(path.split('#').next().unwrap_or_default().to_owned())
}

/// Reads `2026-11-25 18:26:48      48211 img/a.jpg`.
fn of_aws(line: &[u8]) -> Option<Entry> {
    let text = line.trim_ascii_start();
    if text.starts_with(b"PRE ") || text.starts_with(b"Total Objects:") || text.starts_with(b"Total Size:") {
        return None;
    }
    let is_time = |time: &[u8]| {
        time.iter().zip(b"0000-00-00 00:00:00").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        })
    };
    let Some((time, rest)) = line.split_at_checked(19).filter(|(time, _)| is_time(time)) else {
        return Some(unreadable(line));
    };
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match rest.get(digits..).and_then(|rest| rest.strip_prefix(b" ")) {
        Some(key) if digits > 0 && !time.is_empty() && !key.is_empty() => {
            (!key.ends_with(b"/")).then(|| Entry::Path(format!("/{}", percent_encode(key, KEY))))
        }
        _ => Some(unreadable(line)),
    }
}

/// Reads a line of the file of failures.
fn of_failures(line: &[u8]) -> Option<Entry> {
    let path = line.split(|byte| *byte == b'\t').next().filter(|path| path.starts_with(b"/"))?;
    Some(of_url(path))
}

fn unreadable(line: &[u8]) -> Entry {
    Entry::Unreadable(String::from_utf8_lossy(line).replace('\t', " "))
}

/// A sitemap: the content of each `loc`, also of images.
pub struct Sitemap {
    reader: quick_xml::Reader<Source>,
}

impl Iterator for Sitemap {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut buffer, mut url) = (Vec::new(), None::<String>);
        loop {
            buffer.clear();
            let event = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(error) => return Some(Err(io::Error::other(format!("is no XML: {error}")))),
            };
            let text = match event {
                Event::Eof => return None,
                Event::Start(tag) if tag.local_name().as_ref() == "sitemapindex" => {
                    return Some(Err(io::Error::other("is a list of sitemaps; give each of them")));
                }
                Event::Start(tag) if tag.local_name().as_ref() == "loc" => {
                    url = Some(String::new());
                    continue;
                }
                Event::End(_) => match url.take() {
                    Some(url) => return Some(Ok(of_url(url.trim().as_bytes()))),
                    None => continue,
                },
                Event::Text(text) => text.to_string(),
                Event::CData(text) => text.to_string(),
                Event::GeneralRef(name) => {
                    let of_number = name.resolve_char_ref().ok().flatten().map(String::from);
                    let of_name = || quick_xml::escape::resolve_predefined_entity(&name);
                    of_number.or_else(|| of_name().map(str::to_owned)).unwrap_or_default()
                }
                _ => continue,
            };
            if let Some(url) = &mut url {
                url.push_str(&text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Vec<Entry> {
        Entries::read(Box::new(Cursor::new(list.to_owned().into_bytes()))).unwrap().map(Result::unwrap).collect()
    }

    fn paths(list: &str) -> Vec<String> {
        read(list).iter().map(|entry| entry.text().to_owned()).collect()
    }

    #[test]
    fn a_line_is_a_key_or_a_path_as_it_begins() {
        let list = "img/a b%20c.jpg\r\n\nimg/\né+:@.txt\n/img/a%20b.jpg?v=1\nhttps://old.test/p/é x#top\nhttp://old.test\n/blog/\n";
        let expected =
            ["/img/a%20b%2520c.jpg", "/%C3%A9%2B%3A%40.txt", "/img/a%20b.jpg?v=1", "/p/%C3%A9%20x", "/", "/blog/"];
        assert_eq!(paths(list), expected);
    }

    #[test]
    fn what_aws_lists_is_read_behind_date_and_size() {
        let list = "                           PRE img/\n2026-11-25 18:26:48      48211 img/a b.jpg\n\
                    2026-11-25 18:26:48          0 img/\nno such line\n2026-11-25 18:26:48    7  two\n\nTotal Objects: 3\n   Total Size: 48218\n";
        let path = |path: &str| Entry::Path(path.to_owned());
        let expected = [path("/img/a%20b.jpg"), Entry::Unreadable("no such line".to_owned()), path("/%20two")];
        assert_eq!(read(list), expected);
    }

    #[test]
    fn a_sitemap_is_read_by_its_locations() {
        let list = "<?xml version=\"1.0\"?>\n<urlset xmlns:image=\"i\"><url><loc> https://old.test/a?b=1&amp;c=2 </loc>\
                    <image:image><image:loc><![CDATA[https://old.test/i&.jpg]]></image:loc></image:image></url>\
                    <url><lastmod>2026</lastmod><loc>https://old.test/caf&#233;</loc></url></urlset>";
        assert_eq!(paths(list), ["/a?b=1&c=2", "/i&.jpg", "/caf%C3%A9"]);
        let mut index = Entries::read(Box::new(Cursor::new(b"<sitemapindex><sitemap><loc>x</loc>"))).unwrap();
        assert!(index.next().unwrap().is_err());
    }

    #[test]
    fn the_file_of_failures_is_a_list_again() {
        assert_eq!(
            paths(&format!("{FAILED}\n/a%20b\t404\tnot_found\tno\nno such line\t0\t\tunreadable\n/c\t0\t\tsilent\n")),
            ["/a%20b", "/c"]
        );
    }

    #[test]
    fn a_list_without_a_line_has_no_entry() {
        assert!(read("").is_empty() && read("\n\n").is_empty());
    }
}
