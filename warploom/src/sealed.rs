//! Texts with a hash of themselves in their last line, so that a file which was cut short or
//! changed is noticed.

/// What the last line begins with.
const SEAL: &str = "# blake3 ";

/// The text, ended by a line break, with its last line.
pub(crate) fn seal(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    text.push_str(SEAL);
    text.push_str(&hash);
    text.push('\n');
    text
}

/// What [`seal`] was given, or why the text is not as it was written.
pub(crate) fn unseal(text: &str) -> Result<&str, &'static str> {
    let sealed = text.strip_suffix('\n').and_then(|t| Some((t, t.rfind('\n')?)));
    let parts = sealed.map(|(t, at)| (&text[..=at], &t[at + 1..]));
    let Some((body, Some(hash))) = parts.map(|(body, last)| (body, last.strip_prefix(SEAL))) else {
        return Err("its last line is no hash of it: it is cut short");
    };
    if blake3::hash(body.as_bytes()).to_hex().as_str() != hash {
        return Err("its hash is another: it was changed");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_and_every_cut_is_noticed() {
        let text = seal("one = 1\ntwo = 2".to_owned());
        assert_eq!(unseal(&text), Ok("one = 1\ntwo = 2\n"));
        for cut in 0..text.len() {
            assert!(unseal(&text[..cut]).is_err(), "{cut}");
        }
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert!(unseal(&String::from_utf8(changed).unwrap()).is_err(), "{at}");
        }
        assert!(unseal(&seal(String::new())).is_ok());
        assert!(unseal("").is_err());
    }
}
