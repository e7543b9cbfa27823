//! The token that client commands show to a server: from the environment, since what is written on a
//! command line is everybody's to read.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use ureq::http::HeaderValue;

use crate::cli::error::ClientError;

/// What `Authorization` says; `None` where no token is given. `SIGNPOST_TOKEN` comes before the file
/// that `SIGNPOST_TOKEN_FILE` names; an empty variable is none.
///
/// # Errors
/// When the file cannot be read, or what is given can be no token.
pub(super) fn authorization() -> Result<Option<HeaderValue>, ClientError> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    authorization_of(given(TOKEN), given(TOKEN_FILE))
}

fn authorization_of(
    token: Option<OsString>,
    file: Option<OsString>,
) -> Result<Option<HeaderValue>, ClientError> {
    let (text, source) = match (token, file) {
        (Some(token), _) => (token.into_string().ok(), TOKEN.to_owned()),
        (None, Some(file)) => {
            let file = Path::new(&file);
            let text = fs::read_to_string(file)
                .map_err(|error| ClientError::TokenFile { file: file.to_owned(), error })?;
            (Some(text), file.display().to_string())
        }
        (None, None) => return Ok(None),
    };
    let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let header = text.and_then(|text| HeaderValue::from_str(&format!("Bearer {text}")).ok());
    let mut header = header.ok_or(ClientError::NoToken { given: source })?;
    header.set_sensitive(true);
    Ok(Some(header))
}

const TOKEN: &str = "SIGNPOST_TOKEN";
const TOKEN_FILE: &str = "SIGNPOST_TOKEN_FILE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_the_variable_then_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, " signpost_2\n").unwrap();
        let header = |token: Option<&str>, file: Option<&Path>| {
            let header = authorization_of(token.map(Into::into), file.map(Into::into)).unwrap();
            header.map(|header| header.to_str().unwrap().to_owned())
        };

        assert_eq!(header(None, None), None);
        assert_eq!(header(Some("signpost_1"), Some(&file)).as_deref(), Some("Bearer signpost_1"));
        assert_eq!(header(None, Some(&file)).as_deref(), Some("Bearer signpost_2"));
    }

    #[test]
    fn what_can_be_no_token_is_refused_without_repeating_it() {
        for token in ["a\nb", " ", "\u{1}"] {
            let error = authorization_of(Some(token.into()), None).unwrap_err();

            assert_eq!(error.to_string(), "SIGNPOST_TOKEN holds no token");
        }
        assert!(authorization_of(None, Some("/nonexistent/token".into())).is_err());
    }
}
