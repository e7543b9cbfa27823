//! Who calls over TLS: how keys are agreed on, whose certificates are believed, and whom they stand
//! for. All of it changes together, by a reload, and open connections see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustls::ServerConfig;

use crate::model::{CertificateName, ClientCertificates, Identity};
use crate::net::tls::{self, Authorities, Certificates, Presented};

/// What is in force on the TLS addresses.
#[derive(Debug)]
pub struct Clients {
    config: Arc<ServerConfig>,
    authorities: Option<Authorities>,
    required: bool,
    /// Tells it from all others that were ever in force.
    number: u64,
    /// Whom certificates stand for, each with its place: the first that names one is it.
    identities: BTreeMap<CertificateName, (usize, Arc<Identity>)>,
}

impl Clients {
    /// A side-port that proves itself by `certificates`, and believes certificates of `authorities`.
    #[must_use]
    pub fn new(
        certificates: Arc<Certificates>,
        authorities: Option<Authorities>,
        asked: ClientCertificates,
        identities: Vec<(CertificateName, Identity)>,
    ) -> Self {
        let config =
            Arc::new(tls::mutual(certificates, &[b"h2", b"http/1.1"], authorities.as_ref()));
        let identities = identities.into_iter().enumerate();
        let identities = identities.map(|(i, (san, who))| (san, (i, Arc::new(who)))).collect();
        let required = asked == ClientCertificates::Required;
        let number = NEXT.fetch_add(1, Relaxed);
        Self { config, authorities, required, number, identities }
    }

    /// How keys are agreed on with who connects now.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Whether nobody may stay unknown who comes by TLS.
    #[must_use]
    pub fn required(&self) -> bool {
        self.required
    }

    /// Whether any of the identities is an admin's.
    #[must_use]
    pub fn have_admin(&self) -> bool {
        self.identities.values().any(|(_, identity)| identity.is_admin())
    }

    /// Whom `proved` stands for at `now`, the time since 1970; `None`: nobody.
    pub(crate) fn identity(&self, proved: &Proved, now: Duration) -> Option<&Arc<Identity>> {
        let known = proved.presented.names().iter().filter_map(|name| self.identities.get(name));
        let (_, identity) = known.min_by_key(|(place, _)| *place)?;
        proved.holds(self.authorities.as_ref()?, self.number, now).then_some(identity)
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self::new(Arc::default(), None, ClientCertificates::Off, Vec::new())
    }
}

/// A certificate that the client of a connection has.
#[derive(Debug)]
pub(crate) struct Proved {
    presented: Presented,
    /// When it was last verified, in seconds since 1970, or [`NEVER`].
    verified: AtomicU64,
    /// By which [`Clients`].
    by: AtomicU64,
}

impl Proved {
    /// One that was presented in a handshake. It is verified again at the first call.
    pub(crate) fn new(presented: Presented) -> Self {
        Self { presented, verified: AtomicU64::new(NEVER), by: AtomicU64::new(NEVER) }
    }

    /// Whether it still holds by the `authorities` of the [`Clients`] with this `number`, as far as that
    /// was looked at within [`VERIFIED_FOR`].
    fn holds(&self, authorities: &Authorities, number: u64, now: Duration) -> bool {
        let seconds = now.as_secs();
        let same = self.by.load(Relaxed) == number;
        if same && seconds.abs_diff(self.verified.load(Relaxed)) < VERIFIED_FOR {
            return true;
        }
        let holds = authorities.believe(&self.presented, now);
        if holds {
            self.verified.store(seconds, Relaxed);
            self.by.store(number, Relaxed);
        }
        holds
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);
const NEVER: u64 = u64::MAX;
/// Seconds; verifying takes a tenth of a millisecond.
const VERIFIED_FOR: u64 = 10;
