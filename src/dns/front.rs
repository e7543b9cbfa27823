//! Packet in, packet out: what every transport calls.
//!
//! Decides which zone a name belongs to and lays out the sections; which instances are answered is
//! `resolve`'s matter. Loads what it serves after the packet was read, waits for nothing.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::dns::batch::Batch;
use crate::dns::cookies::{Secrets, Standing};
use crate::dns::fast::{self, Loaded, Scratch, Taken};
use crate::dns::handed::Key;
use crate::dns::metrics::Metrics;
use crate::dns::query::{Head, Parsed, Query, parse};
use crate::dns::rate_limit::{RateLimiter, Verdict};
use crate::dns::rcode::Rcode;
use crate::dns::reply::{Record, Reply};
use crate::dns::responder::{Responder, Witness};
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::dns::shard::Shard;
use crate::dns::transport::{Peer, Transport};
use crate::model::CookieSecret;
use crate::registry::{Pinned, Registry, ServiceView};
use crate::resolve::{Answer, Asker, Data, Kind, Outcome};

/// The DNS front: one for all transports and tasks.
#[derive(Debug)]
pub struct Front {
    registry: Registry,
    served: ArcSwap<Served>,
    metrics: Metrics,
    /// Of this process alone, where none is configured.
    cookie_secret: CookieSecret,
    rate_limiter: RateLimiter,
}

/// What one thread needs to answer. Choosing needs chance, not secrecy: its generator is seeded by
/// the system.
#[derive(Debug)]
pub struct Desk {
    rng: SmallRng,
    scratch: Scratch,
    hurries: bool,
}

impl Desk {
    /// A desk that draws from `rng`.
    #[must_use]
    pub fn new(rng: SmallRng) -> Self {
        Self { rng, scratch: Scratch::default(), hurries: true }
    }

    /// One that sends common questions the long way too: what the short one is held to.
    #[must_use]
    pub fn unhurried(rng: SmallRng) -> Self {
        Self { hurries: false, ..Self::new(rng) }
    }

    /// The generator as it is now.
    #[must_use]
    pub fn rng(&self) -> &SmallRng {
        &self.rng
    }
}

impl Front {
    /// A front that answers from `registry` and `served`.
    #[must_use]
    pub fn new(registry: Registry, served: Served) -> Self {
        Self {
            registry,
            served: ArcSwap::from_pointee(served),
            metrics: Metrics::default(),
            cookie_secret: CookieSecret::new(rand::random()),
            rate_limiter: RateLimiter::new(rand::random()),
        }
    }

    /// Puts `served` in force for the next packet.
    pub fn serve(&self, served: Served) {
        self.served.store(Arc::new(served));
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is served now.
    #[must_use]
    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// The registry that is answered from.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Answers `packet` into `reply`, which is emptied; says whether there is anything to send.
    pub fn handle(&self, packet: &[u8], peer: Peer, reply: &mut Vec<u8>) -> bool {
        DESK.with_borrow_mut(|desk| self.handle_at(desk, packet, peer, reply))
    }

    /// As [`Front::handle`], with chance and room for work handed in.
    pub fn handle_at(
        &self,
        desk: &mut Desk,
        packet: &[u8],
        peer: Peer,
        reply: &mut Vec<u8>,
    ) -> bool {
        let served = self.served.load();
        let views = self.registry.views().pin();
        let moment = self.moment(&served, &views, self.metrics.shared());
        let answered = self.answer(&moment, desk, packet, peer, reply);
        if answered {
            self.took(&moment, 1);
        }
        answered
    }

    /// What answers batches of UDP packets, for one thread.
    #[must_use]
    pub fn worker(self: &Arc<Self>) -> Worker {
        let desk = Desk::new(SmallRng::from_rng(&mut rand::rng()));
        Worker { front: Arc::clone(self), counts: self.metrics.own(), desk }
    }

    fn moment<'m, const SHARED: bool>(
        &'m self,
        served: &'m Served,
        views: &'m Pinned<'m>,
        counts: &'m Shard<SHARED>,
    ) -> Moment<'m, SHARED> {
        let clock = self.registry.clock();
        let loaded = Loaded { served, views, now: clock.now(), handed: &counts.handed };
        Moment { loaded, began: clock.elapsed(), counts }
    }

    /// Counts what so many queries took.
    fn took<const SHARED: bool>(&self, moment: &Moment<'_, SHARED>, queries: usize) {
        let took = self.registry.clock().elapsed().saturating_sub(moment.began);
        moment.counts.took(took, queries);
    }

    /// Answers `packet` into `reply`, which is emptied, and counts that; says whether there is
    /// anything to send.
    fn answer<const SHARED: bool>(
        &self,
        moment: &Moment<'_, SHARED>,
        desk: &mut Desk,
        packet: &[u8],
        peer: Peer,
        reply: &mut Vec<u8>,
    ) -> bool {
        let Desk { rng, scratch, hurries } = desk;
        let mut verdict = None;
        if peer.transport == Transport::Udp && *hurries {
            let limit = |rng: &mut SmallRng| self.verdict(moment, peer, None, rng);
            let (loaded, client) = (&moment.loaded, peer.source.ip());
            match fast::answer(packet, client, loaded, limit, rng, scratch, reply) {
                Some(Taken::Answered(rtype)) => {
                    let (rtype, rcode) = (Some(rtype), Rcode::NoError);
                    moment.counts.answered(peer, rtype, rcode, packet.len(), reply);
                    return true;
                }
                Some(Taken::Limited(found)) => verdict = Some(found),
                None => {}
            }
        }
        self.answer_fully(moment, rng, packet, peer, verdict, reply)
    }

    /// Answers any packet. A verdict that was found already is not asked for again.
    fn answer_fully<const SHARED: bool>(
        &self,
        moment: &Moment<'_, SHARED>,
        rng: &mut SmallRng,
        packet: &[u8],
        peer: Peer,
        verdict: Option<Verdict>,
        reply: &mut Vec<u8>,
    ) -> bool {
        let served = moment.loaded.served;
        let parsed = parse(packet);
        let Some(head) = parsed.head() else { return false };
        let cookie = self.cookie(moment, head, peer);
        let standing = cookie.map(|(standing, _)| standing);
        let slips = match verdict.unwrap_or_else(|| self.verdict(moment, peer, standing, rng)) {
            Verdict::Answer => false,
            Verdict::Slip(_) => true,
            Verdict::Drop(_) => return false,
        };

        // A reply over the limit is no larger than it must be.
        let identifies = served.conduct.chaos && !slips;
        let identity = if identifies { served.identity.as_bytes() } else { &[] };
        let mut writer = Reply::start(reply, head, peer.transport, identity);
        if let Some((_, server)) = cookie {
            writer.cookie(server);
        }
        let rcode = match &parsed {
            Parsed::Silence => return false,
            // No reply is smaller, so these need not slip.
            Parsed::Error(_, rcode) => finish(writer, *rcode),
            Parsed::Cookie(..) | Parsed::Chaos(_) | Parsed::Query(_) if slips => {
                slip(writer, standing)
            }
            Parsed::Cookie(..) => finish(writer, cookie_alone(standing)),
            Parsed::Chaos(query) => chaos(served, query, writer),
            Parsed::Query(query) => {
                let views = self.registry.views();
                Responder::new(views, served, query, peer, moment.loaded.now, rng)
                    .respond(writer, &mut Noting(&moment.loaded))
            }
        };
        let rtype = match &parsed {
            Parsed::Query(query) => Some(query.rtype),
            Parsed::Silence | Parsed::Error(..) | Parsed::Cookie(..) | Parsed::Chaos(_) => None,
        };
        moment.counts.answered(peer, rtype, rcode, packet.len(), reply);
        true
    }

    /// What the query's cookie proves, and ours for the reply; `None` without one.
    fn cookie<const SHARED: bool>(
        &self,
        moment: &Moment<'_, SHARED>,
        head: &Head<'_>,
        peer: Peer,
    ) -> Option<(Standing, [u8; 16])> {
        let served = moment.loaded.served;
        let cookie = head.edns?.cookie.filter(|_| served.conduct.cookies)?;
        let secrets = match &served.conduct.cookie_secrets[..] {
            [] => Secrets::Own(&self.cookie_secret),
            shared => Secrets::Shared(shared),
        };
        // RFC 9018 section 4.3: the low 32 bits.
        let [.., a, b, c, d] = self.registry.clock().wall().as_secs().to_be_bytes();
        let now = u32::from_be_bytes([a, b, c, d]);
        let judged = secrets.judge(&cookie, peer.source.ip(), now);
        moment.counts.cookie(judged.0);
        Some(judged)
    }

    /// Whether the client gets more than its share, if it may not be where the packet says.
    #[inline]
    fn verdict<const SHARED: bool>(
        &self,
        moment: &Moment<'_, SHARED>,
        peer: Peer,
        standing: Option<Standing>,
        rng: &mut SmallRng,
    ) -> Verdict {
        if !peer.transport.forgeable() || standing == Some(Standing::Valid) {
            return Verdict::Answer;
        }
        let (limits, client) = (&moment.loaded.served.conduct.rate_limit, peer.source.ip());
        let verdict = self.rate_limiter.check(limits, client, moment.began, rng);
        moment.counts.limited(verdict);
        verdict
    }
}

/// Remembers who was handed out.
struct Noting<'m>(&'m Loaded<'m>);

impl Witness for Noting<'_> {
    const PEEKS: bool = false;

    fn found(
        &mut self,
        view: &ServiceView,
        _: &[&[u8]],
        _: Kind,
        _: &Asker<'_>,
        outcome: &Outcome<Answer>,
    ) {
        if let Outcome::Answer(Answer { data: Data::Addresses(addresses), .. }) = outcome
            && let Some(first) = addresses.first()
        {
            self.0.handed.note(Key::new(view.salt(), *first), self.0.now);
        }
    }
}

/// Answers the batches of one thread.
#[derive(Debug)]
pub struct Worker {
    front: Arc<Front>,
    counts: Arc<Shard<false>>,
    desk: Desk,
}

impl Worker {
    /// Answers all packets of `batch`, which came by UDP. What is served, and the time, are those of
    /// its beginning: its packets had been read by then.
    pub fn answer(&mut self, batch: &mut Batch<'_>) {
        let Self { front, counts, desk } = self;
        let served = front.served.load();
        let views = front.registry.views().pin();
        let moment = front.moment(&served, &views, counts);
        batch.each(|packet, source, reply| {
            let peer = Peer { transport: Transport::Udp, source };
            front.answer(&moment, desk, packet, peer, reply)
        });
        front.took(&moment, batch.answered.len());
    }
}

/// What packets are answered by: loaded once they were read, for all that were read together. And
/// where that is counted.
struct Moment<'m, const SHARED: bool> {
    loaded: Loaded<'m>,
    /// How long the clock ran.
    began: Duration,
    counts: &'m Shard<SHARED>,
}

fn finish(writer: Reply<'_>, rcode: Rcode) -> Rcode {
    writer.finish(rcode, false);
    rcode
}

/// What a client over its limit gets in place of an answer: word to come back with a cookie if it
/// knows about them (RFC 7873 section 5.2.3), else by TCP.
fn slip(mut writer: Reply<'_>, standing: Option<Standing>) -> Rcode {
    if standing.is_some() {
        return finish(writer, Rcode::BadCookie);
    }
    writer.truncate();
    finish(writer, Rcode::NoError)
}

/// The code for a query of nothing but a cookie (RFC 7873 section 5.4).
fn cookie_alone(standing: Option<Standing>) -> Rcode {
    match standing {
        Some(Standing::New | Standing::Valid) => Rcode::NoError,
        Some(Standing::Bad) => Rcode::BadCookie,
        // Cookies are off, and so it is a query without a question.
        None => Rcode::FormErr,
    }
}

/// What the server says of itself, in the names that BIND made up and RFC 4892. Everything else of
/// class CHAOS is refused.
fn chaos(served: &Served, query: &Query<'_>, mut writer: Reply<'_>) -> Rcode {
    let (conduct, name) = (&served.conduct, query.name.wire());
    let text = if [ID_SERVER, HOSTNAME_BIND].contains(&name) && conduct.chaos {
        &served.identity
    } else if [VERSION_SERVER, VERSION_BIND].contains(&name) {
        &conduct.version
    } else {
        ""
    };
    if text.is_empty() || ![rtype::TXT, rtype::ANY].contains(&query.rtype) {
        return finish(writer, Rcode::Refused);
    }
    let rdata = [&character_string(text.as_bytes())[..]];
    writer.push_chaos(&Record { owner: name, rtype: rtype::TXT, ttl: 0, rdata: &rdata });
    finish(writer, Rcode::NoError)
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::new(Desk::new(SmallRng::from_rng(&mut rand::rng())));
}

/// A character-string (RFC 1035 section 3.3): its length, then at most 255 bytes.
fn character_string(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(255)];
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    std::iter::once(length).chain(text.iter().copied()).collect()
}

const ID_SERVER: &[u8] = b"\x02id\x06server\x00";
const HOSTNAME_BIND: &[u8] = b"\x08hostname\x04bind\x00";
const VERSION_SERVER: &[u8] = b"\x07version\x06server\x00";
const VERSION_BIND: &[u8] = b"\x07version\x04bind\x00";
