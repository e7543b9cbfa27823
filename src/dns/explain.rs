//! What DNS would say to a question, and why. Takes the way of a query, but only looks: no counter
//! moves and nothing is handed out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::dns::edns::Edns;
use crate::dns::front::Front;
use crate::dns::name::Name;
use crate::dns::present;
use crate::dns::query::{Head, Query};
use crate::dns::reply::Reply;
use crate::dns::responder::{Responder, Witness};
use crate::dns::rtype;
use crate::dns::transport::{Peer, Transport, UDP_PAYLOAD};
use crate::model::Network;
use crate::registry::ServiceView;
use crate::resolve::{
    Answer, Asker, Explanation, Kind, Outcome, Resolution, ResolvedRecord, explain,
};

/// Why a question cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// Not a domain name.
    #[error("{0}")]
    Name(#[from] crate::dns::name::NameTextError),
    /// Not a record type, or one that is no question for records.
    #[error("{0:?} is not a record type that can be resolved, e.g. A, AAAA, SRV, TXT or TYPE65")]
    Type(String),
}

impl Front {
    /// What a UDP client with EDNS at `client` (default: this machine) would be told of `name`, whose
    /// final dot may be left out.
    ///
    /// # Errors
    /// When there is no such question.
    pub fn explain(
        &self,
        name: &str,
        rtype: &str,
        client: Option<IpAddr>,
    ) -> Result<Resolution, ExplainError> {
        let name = Name::from_text(name, Some(&Name::ROOT))?;
        let rtype = type_number(rtype)?;
        let mut question = name.wire().to_vec();
        question.extend(rtype.to_be_bytes());
        question.extend(CLASS_IN.to_be_bytes());
        let head = Head {
            id: 0,
            opcode: 0,
            recursion_desired: false,
            question: &question,
            edns: Some(Edns::new(UDP_PAYLOAD, 0)),
        };
        let query = Query { head, name: name.folded(), rtype };
        let source = SocketAddr::new(client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0);
        let peer = Peer { transport: Transport::Udp, source };

        let served = self.served();
        let now = self.registry().clock().now();
        let mut rng = SmallRng::from_rng(&mut rand::rng());
        let mut listener = Listener { rng: rng.clone(), explanation: None };
        let mut bytes = Vec::new();
        let reply = Reply::start(&mut bytes, &head, peer.transport, &[]);
        let views = self.registry().views();
        let rcode = Responder::new(views, &served, &query, peer, now, &mut rng)
            .respond(reply, &mut listener);
        let locality = served.localities.find(Network::of(source.ip(), u8::MAX)).cloned();
        let rcode = rcode.as_str().into();
        let mut resolution = Resolution { rcode, locality, ..Resolution::default() };
        // Our own writing is read back, so that this cannot differ from what goes over the wire.
        if let Ok(message) = Message::from_vec(&bytes) {
            resolution.aa = message.metadata.authoritative;
            resolution.tc = message.metadata.truncation;
            let said = message.answers.iter().chain(&message.authorities);
            resolution.ttl = said.map(|record| record.ttl).min().unwrap_or(0);
            resolution.answers = message.answers.iter().map(resolved).collect();
            resolution.additional = message.additionals.iter().map(resolved).collect();
        }
        Ok(match listener.explanation {
            Some(explanation) => resolution.explained(explanation),
            None => resolution,
        })
    }
}

/// Keeps the last explanation it hears.
struct Listener {
    rng: SmallRng,
    explanation: Option<Explanation>,
}

impl Witness for Listener {
    const PEEKS: bool = true;

    fn found(
        &mut self,
        view: &ServiceView,
        labels: &[&[u8]],
        kind: Kind,
        asker: &Asker<'_>,
        outcome: &Outcome<Answer>,
    ) {
        self.explanation = Some(explain(view, labels, kind, asker, outcome, &mut self.rng));
    }
}

fn resolved(record: &Record) -> ResolvedRecord {
    let (kind, ttl) = (record.record_type().to_string(), record.ttl);
    ResolvedRecord { name: present::name(&record.name), kind, ttl, data: present::data(record) }
}

/// The number of a type that is a question for records.
fn type_number(text: &str) -> Result<u16, ExplainError> {
    present::type_number(text)
        .filter(|number| ![rtype::AXFR, rtype::IXFR, rtype::OPT].contains(number))
        .ok_or_else(|| ExplainError::Type(text.to_owned()))
}

const CLASS_IN: u16 = 1;
