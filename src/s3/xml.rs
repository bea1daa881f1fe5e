//! S3's error documents: the reader of their code, and their writer.

use crate::object::key::Key;

/// Finds the `<Code>` of an S3 error document. `None` if the body is none.
///
/// A search replaces an XML parser. Codes are plain letters, and a document that hides its code from this search
/// counts as one without a code.
pub fn error_code(body: &[u8]) -> Option<&str> {
    let mut tags = std::str::from_utf8(body).ok()?.split('<').skip(1);
    tags.find(|tag| tag.starts_with("Error"))?;
    let code = tags.find_map(|tag| tag.strip_prefix("Code>"))?.trim();
    tags.next().filter(|tag| tag.starts_with("/Code>"))?;
    (!code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(code)
}

/// Writes an error document in S3's form. Without the request's id it has none.
pub fn error_document(code: &str, message: &str, resource: &str, request_id: &str) -> Vec<u8> {
    document(code, message, "Resource", resource, request_id)
}

/// Writes S3's own answer to a GET of a missing key.
pub fn no_such_key(key: &Key, request_id: &str) -> Vec<u8> {
    document("NoSuchKey", "The specified key does not exist.", "Key", key.as_str(), request_id)
}

fn document(code: &str, message: &str, kind: &str, subject: &str, request_id: &str) -> Vec<u8> {
    let (subject, id) = (escape(subject), escape(request_id));
    let id = if id.is_empty() { id } else { format!("<RequestId>{id}</RequestId>") };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>{message}</Message><{kind}>{subject}</{kind}>{id}</Error>"
    )
    .into_bytes()
}

/// Escapes a text as the content of an element.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML 1.0 cannot hold these two in any form.
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_document_is_found_however_it_is_written() {
        for (body, code) in [
            (&b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>x</Message></Error>"[..], Some("NoSuchKey")),
            (b"<Error xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n  <Code> AccessDenied </Code></Error>", Some("AccessDenied")),
            (b"<html><code>NoSuchKey</code></html>", None),
            (b"<Code>NoSuchKey</Code>", None),
            (b"<Error><Code></Code></Error>", None),
            (b"<Error><Code>No<b>SuchKey</Code></Error>", None),
            (b"<Error><Code>NoSuchKey", None),
            (b"\xff<Error><Code>NoSuchKey</Code></Error>", None),
            (b"", None),
        ] {
            assert_eq!(error_code(body), code, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_document_of_ours_is_one_that_we_can_read_and_nothing_breaks_out_of_it() {
        let document = error_document("OriginTimeout", "x", "/</Resource><Code>Evil</Code>&", "");
        assert_eq!(error_code(&document), Some("OriginTimeout"));
        assert!(!String::from_utf8(document).unwrap().contains("Evil</Code>"));
        assert_eq!(error_code(&no_such_key(&Key::from_path(b"a<b").unwrap(), "<")), Some("NoSuchKey"));
    }

    #[test]
    fn a_document_has_the_id_of_its_request_if_there_is_one() {
        let text = |id| String::from_utf8(no_such_key(&Key::from_path(b"a").unwrap(), id)).unwrap();
        assert!(text("1-a<").ends_with("<Key>a</Key><RequestId>1-a&lt;</RequestId></Error>"), "{}", text("1-a<"));
        assert!(text("").ends_with("<Key>a</Key></Error>"));
    }
}
