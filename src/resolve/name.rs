//! What a name below the zone's apex asks for (design: "Names served").
//!
//! | labels, left to right               | means                                        |
//! |-------------------------------------|----------------------------------------------|
//! | `web`                               | the service                                  |
//! | `web-1.web`                         | one instance                                 |
//! | `_http._tcp.web`                    | its port http                                |
//! | `_web._tcp`                         | its main port where that is TCP (RFC 2782)   |
//! | `_grpc.web`                         | the binding of its port grpc (RFC 9460)      |
//! | `web-1._web._tcp`                   | the instance, its main port being TCP        |
//! | `_services._dns-sd._udp`            | every type of service (RFC 6763 section 9)   |
//! | `b`, `db`, `lb` + `._dns-sd._udp`   | where to browse (RFC 6763 section 11)        |
//! | `a.b.tag.web`                       | instances with tags a and b                  |
//! | `eu-1a.zone.web`                    | instances of that locality zone              |
//! | `user-42.key.web`                   | one instance, by consistent hash of the key  |
//! | `_http._tcp.` + tags, zone or key   | the port http of those                       |
//! | `_tcp`, `_tcp.web`, `tag.web`, ...  | nothing by itself, but names below it exist  |

use crate::model::Protocol;
use crate::registry::PortChoice;

/// What the labels left of the apex mean. Whether it exists is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name<'q> {
    /// Something of a service.
    Of(&'q str, Part<'q>),
    /// A list of the zone as a whole.
    Listed(Listing),
    /// Exists without data, whatever is registered.
    Branch,
    /// No such name can exist.
    Nothing,
}

/// What of a service is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'q> {
    /// Its pool, or a selection of it.
    Pool(Choice<'q>, Form<'q>),
    /// One instance.
    Instance(&'q str),
    /// One instance whose main port has this protocol, as browsing shows it.
    Browsed(&'q str, Protocol),
    /// Exists without data while the service does.
    Branch,
    /// Cannot exist.
    Nothing,
}

/// What DNS-SD lists of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Every type of service.
    Types,
    /// The domains to browse: the zone itself.
    Domains,
}

/// Which records of a pool the name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form<'q> {
    /// Addresses, TXT, SRV of the main port, HTTPS of the port https.
    Plain,
    /// SRV of this port.
    Port(PortChoice<'q>),
    /// SVCB of the port of this name.
    Binding(&'q str),
}

/// How a pool is narrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice<'q> {
    Whole,
    Tags(Vec<&'q str>),
    Zone(&'q str),
    /// The labels left of `key`, in wire form: each behind its length.
    Key(Vec<u8>),
}

impl<'q> Name<'q> {
    /// Reads `labels`: lower case, those left of the apex, at least one.
    pub(crate) fn parse(labels: &[&'q [u8]]) -> Self {
        let Some((last, left)) = labels.split_last() else { return Self::Nothing };
        if let Some(protocol) = protocol(last) {
            return match left {
                [] => Self::Branch,
                // Taken from a service named dns-sd, which has its other names.
                [above @ .., b"_dns-sd"] if protocol == Protocol::Udp => Self::listing(above),
                [id, service] => match (text(id), port_label(service)) {
                    (Some(id), Some(service)) => Self::Of(service, Part::Browsed(id, protocol)),
                    _ => Self::Nothing,
                },
                [service] => match port_label(service) {
                    Some(service) => {
                        let port = PortChoice::MainOf(protocol);
                        Self::Of(service, Part::Pool(Choice::Whole, Form::Port(port)))
                    }
                    None => Self::Nothing,
                },
                _ => Self::Nothing,
            };
        }
        match text(last) {
            Some(service) => Self::Of(service, Part::parse(left)),
            None => Self::Nothing,
        }
    }

    /// The service that these labels are the whole name of, as nearly all are: what [`Name::parse`]
    /// makes of it too. `None` says nothing.
    pub(crate) fn service(labels: &[&'q [u8]]) -> Option<&'q [u8]> {
        match labels {
            [service] if service.first() != Some(&b'_') => Some(service),
            _ => None,
        }
    }

    /// Reads what is left of `_dns-sd._udp`.
    fn listing(labels: &[&[u8]]) -> Self {
        match labels {
            [] => Self::Branch,
            [b"_services"] => Self::Listed(Listing::Types),
            [b"b" | b"db" | b"lb"] => Self::Listed(Listing::Domains),
            _ => Self::Nothing,
        }
    }
}

impl<'q> Part<'q> {
    fn parse(labels: &[&'q [u8]]) -> Self {
        let Some((last, left)) = labels.split_last() else {
            return Self::Pool(Choice::Whole, Form::Plain);
        };
        if protocol(last).is_some() {
            return match (left, port_choice(labels)) {
                ([], _) => Self::Branch,
                ([_], Some(port)) => Self::Pool(Choice::Whole, Form::Port(port)),
                _ => Self::Nothing,
            };
        }
        let selector = match *last {
            b"tag" | b"zone" | b"key" => *last,
            // What is below an instance's own name does not exist.
            _ if !left.is_empty() => return Self::Nothing,
            // No id begins with it, so this is no instance.
            label if label.starts_with(b"_") => {
                let binding = |port| Self::Pool(Choice::Whole, Form::Binding(port));
                return port_label(label).map_or(Self::Nothing, binding);
            }
            id => return text(id).map_or(Self::Nothing, Self::Instance),
        };
        let (form, selected) = match port_choice(left) {
            Some(port) => (Form::Port(port), &left[2..]),
            None => (Form::Plain, left),
        };
        if selected.is_empty() || (selector != b"key" && selected[0].starts_with(b"_")) {
            return Self::Branch;
        }
        // Bytes that no tag or zone has select nothing; the name exists all the same.
        let text_or_none = |label: &'q [u8]| text(label).unwrap_or("\0");
        let choice = match (selector, selected) {
            (b"tag", tags) => Choice::Tags(tags.iter().map(|tag| text_or_none(tag)).collect()),
            (b"zone", [zone]) => Choice::Zone(text_or_none(zone)),
            (b"zone", _) => return Self::Nothing,
            (_, key) => Choice::Key(wire(key)),
        };
        Self::Pool(choice, form)
    }
}

/// `_http._tcp` at the left of `labels`.
fn port_choice<'q>(labels: &[&'q [u8]]) -> Option<PortChoice<'q>> {
    let [port, proto, ..] = labels else { return None };
    Some(PortChoice::Named(port_label(port)?, protocol(proto)?))
}

fn port_label(label: &[u8]) -> Option<&str> {
    text(label.strip_prefix(b"_")?).filter(|name| !name.is_empty())
}

fn protocol(label: &[u8]) -> Option<Protocol> {
    let name = label.strip_prefix(b"_")?;
    Protocol::ALL.into_iter().find(|protocol| protocol.as_str().as_bytes() == name)
}

fn text(label: &[u8]) -> Option<&str> {
    std::str::from_utf8(label).ok()
}

fn wire(labels: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(labels.iter().map(|label| label.len() + 1).sum());
    for label in labels {
        wire.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        wire.extend_from_slice(label);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Name<'_> {
        Name::parse(&name.split('.').map(str::as_bytes).collect::<Vec<_>>())
    }

    fn pool<'q>(choice: Choice<'q>, form: Form<'q>) -> Name<'q> {
        Name::Of("web", Part::Pool(choice, form))
    }

    #[test]
    fn every_form_of_the_table_is_read() {
        let http = Form::Port(PortChoice::Named("http", Protocol::Tcp));

        assert_eq!(parse("web"), pool(Choice::Whole, Form::Plain));
        assert_eq!(parse("web-1.web"), Name::Of("web", Part::Instance("web-1")));
        assert_eq!(parse("_http._tcp.web"), pool(Choice::Whole, http));
        let main = Form::Port(PortChoice::MainOf(Protocol::Udp));
        assert_eq!(parse("_web._udp"), pool(Choice::Whole, main));
        assert_eq!(parse("_grpc.web"), pool(Choice::Whole, Form::Binding("grpc")));
        let browsed = Part::Browsed("web-1", Protocol::Tcp);
        assert_eq!(parse("web-1._web._tcp"), Name::Of("web", browsed));
        assert_eq!(parse("_services._dns-sd._udp"), Name::Listed(Listing::Types));
        assert_eq!(parse("lb._dns-sd._udp"), Name::Listed(Listing::Domains));
        assert_eq!(parse("a.b.tag.web"), pool(Choice::Tags(vec!["a", "b"]), Form::Plain));
        assert_eq!(parse("_http._tcp.a.tag.web"), pool(Choice::Tags(vec!["a"]), http));
        assert_eq!(parse("eu-1a.zone.web"), pool(Choice::Zone("eu-1a"), Form::Plain));
        assert_eq!(parse("_http._tcp.eu-1a.zone.web"), pool(Choice::Zone("eu-1a"), http));
        assert_eq!(parse("a.b.key.web"), pool(Choice::Key(b"\x01a\x01b".to_vec()), Form::Plain));
        assert_eq!(parse("_http._tcp.a.key.web"), pool(Choice::Key(b"\x01a".to_vec()), http));
    }

    #[test]
    fn what_lies_between_exists_without_data() {
        assert_eq!(parse("_tcp"), Name::Branch);
        assert_eq!(parse("_dns-sd._udp"), Name::Branch);
        for name in
            ["_tcp.web", "tag.web", "zone.web", "key.web", "_tcp.a.tag.web", "_http._tcp.tag.web"]
        {
            assert_eq!(parse(name), Name::Of("web", Part::Branch), "{name}");
        }
    }

    #[test]
    fn what_no_form_covers_does_not_exist() {
        for name in [
            "x.web-1.web",
            "x._http._tcp.web",
            "http._tcp.web",
            "a.b.zone.web",
            "_._tcp.web",
            "_.web",
            "x._http.web",
        ] {
            assert_eq!(parse(name), Name::Of("web", Part::Nothing), "{name}");
        }
        for name in ["web._tcp", "x.y._web._tcp", "x.web._tcp", "x._dns-sd._udp"] {
            assert_eq!(parse(name), Name::Nothing, "{name}");
        }
    }
}
