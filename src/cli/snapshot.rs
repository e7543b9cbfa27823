//! `signpost snapshot save`: everything durable of a running server as a file, whole or not at all.
//!
//! Every line is read as `restore` would before the file gets its name, so that what is kept is known
//! to be whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ureq::http::Method;

use crate::cli::args::OutputFormat;
use crate::cli::client::{Call, Client};
use crate::cli::error::ClientError;
use crate::cli::output;
use crate::snapshot::{Header, Reader};

/// Saves the state of the server in `file`, `-` for stdout.
///
/// # Errors
/// When the server cannot be reached or refuses, what it sends is not whole, and when the file is
/// there or cannot be written. No file is left then.
pub(super) fn save(
    client: &Client,
    format: OutputFormat,
    file: &Path,
    force: bool,
) -> Result<(), ClientError> {
    if file == Path::new("-") {
        let header = copy(client, io::stdout().lock(), file)?;
        output::print_error(&told(&header, file, format));
        return Ok(());
    }
    let failed = |error| ClientError::Snapshot { file: file.to_owned(), error };
    // A file that is there is the last good backup.
    if !force && file.symlink_metadata().is_ok() {
        return Err(ClientError::Exists { file: file.to_owned() });
    }
    let unfinished = Unfinished::create(file).map_err(failed)?;
    let header = copy(client, BufWriter::new(&unfinished.file), file)?;
    unfinished.finish(file, force).map_err(failed)?;
    output::print(&told(&header, file, format))
}

/// Copies what the server sends, line by line, and says what it is.
fn copy(client: &Client, mut out: impl Write, file: &Path) -> Result<Header, ClientError> {
    let failed = |error| ClientError::Snapshot { file: file.to_owned(), error };
    let stream = client.stream(Call::new(Method::GET, ACTION, PATH.to_owned()))?;
    let unexpected = |error: crate::snapshot::ReadError| ClientError::Unexpected {
        server: client.server().to_string(),
        action: ACTION.to_owned(),
        reason: format!("what it sends is not a whole snapshot: {error}"),
    };
    let mut reader = Reader::new(BufReader::new(stream)).map_err(unexpected)?;
    loop {
        out.write_all(reader.raw()).map_err(failed)?;
        if reader.entry().map_err(unexpected)?.is_none() {
            break;
        }
    }
    out.write_all(reader.raw()).and_then(|()| out.flush()).map_err(failed)?;
    Ok(reader.header().clone())
}

fn told(header: &Header, file: &Path, format: OutputFormat) -> String {
    let Header { zone, revision, overrides, operators, instances, .. } = header;
    match format {
        OutputFormat::Table => format!(
            "saved {zone} at revision {} in {}: instances {instances}, overrides {overrides}, \
             operator states {operators}\n",
            revision.0,
            file.display()
        ),
        OutputFormat::Json => {
            let json = serde_json::to_string(header).expect("numbers and text are JSON");
            format!("{json}\n")
        }
    }
}

/// A file beside the one that it will be, for this user only, gone unless it is finished.
struct Unfinished {
    file: File,
    path: Option<PathBuf>,
}

impl Unfinished {
    fn create(target: &Path) -> io::Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "this names no file"));
        };
        let name = format!(".{}.{}.new", name.display(), std::process::id());
        let path = target.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path: Some(path) })
    }

    /// Makes it durable under its name. Only `force` replaces what has that name by now.
    fn finish(mut self, target: &Path, force: bool) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(path) = &self.path else { return Ok(()) };
        // Unlike a rename a link refuses to replace; its other name goes with `self`.
        let linked = if force { Err(ErrorKind::Other.into()) } else { fs::hard_link(path, target) };
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            // As here where file systems have no links.
            Err(_) => {
                fs::rename(path, target)?;
                self.path = None;
            }
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be removed does no harm.
            drop(fs::remove_file(path));
        }
    }
}

const ACTION: &str = "save a snapshot";
const PATH: &str = "/v1/snapshot";
