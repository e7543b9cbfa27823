//! `register`: an instance from its arguments.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use ureq::http::Method;

use crate::cli::args::{OutputFormat, RegisterArgs, Target};
use crate::cli::client::{Call, Client};
use crate::cli::error::ClientError;
use crate::cli::output::{print_error, printable};
use crate::cli::replies::RegisterReply;
use crate::cli::server_url::ServerUrl;
use crate::cli::table::span;
use crate::cli::values::{Lease, PortArg};
use crate::model::{Tier, Weight};

/// Registers the instance that `args` describe, or replaces it.
pub(super) fn register(
    client: &Client,
    output: OutputFormat,
    args: &RegisterArgs,
) -> Result<(), ClientError> {
    let target = &args.target;
    let call = Call::new(Method::PUT, format!("register {target}"), target.path());
    let reply = client.call(call.json(&Registration::new(args)))?;
    let created = reply.status == 201;
    if let Some(warning) = reply.decode::<RegisterReply>()?.warning {
        print_error(&format!("warning: {}\n", printable(&warning)));
    }
    output.show(&reply, |registered, _| confirmation(target, created, registered, client.server()))
}

/// The body of a registration; what was not given is left to the server.
#[derive(Debug, Serialize)]
struct Registration<'a> {
    addresses: &'a [IpAddr],
    ports: &'a [PortArg],
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<Weight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<Tier>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "LocalityBody::is_empty")]
    locality: LocalityBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Lease>,
}

#[derive(Debug, Serialize)]
struct LocalityBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
}

impl LocalityBody<'_> {
    fn is_empty(&self) -> bool {
        self.region.is_none() && self.zone.is_none()
    }
}

impl<'a> Registration<'a> {
    fn new(args: &'a RegisterArgs) -> Self {
        let pairs = args.metadata.iter();
        Self {
            addresses: &args.addresses,
            ports: &args.ports,
            weight: args.weight,
            tier: args.tier,
            tags: &args.tags,
            metadata: pairs.map(|pair| (pair.key.as_str(), pair.value.as_str())).collect(),
            locality: LocalityBody { region: args.region.as_deref(), zone: args.zone.as_deref() },
            ttl: args.ttl,
        }
    }
}

fn confirmation(
    target: &Target,
    created: bool,
    reply: &RegisterReply,
    server: &ServerUrl,
) -> String {
    let Target { service, .. } = target;
    let id = &reply.instance.id;
    let done = if created { "is registered" } else { "was registered already and is up to date" };
    let revision = reply.revision;
    let lease = match (&reply.instance.ttl, reply.expires_in_ms) {
        (Some(ttl), Some(left)) => format!("lease {ttl}, expires in {}", span(left)),
        (Some(ttl), None) => format!("lease {ttl}"),
        (None, _) => "no lease".to_owned(),
    };
    let first = format!("{service}/{id} {done}: revision {revision}, {lease}");
    let mut text = printable(&first) + "\n";
    if reply.instance.ttl.is_some() {
        let renew = format!("signpost heartbeat {service} {id}");
        text += &format!("  renew it: {}\n", printable(&renew));
    }
    // The side-port does not tell where DNS is; these are the defaults of the file.
    let name = format!("{service}.{DEFAULT_ZONE}");
    let dig = format!("dig @{} -p {DEFAULT_DNS_PORT} {name} SRV", server.host());
    text + &format!("  try it:   {}\n", printable(&dig))
}

const DEFAULT_ZONE: &str = "service.local";
const DEFAULT_DNS_PORT: u16 = 8053;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn args(line: &str) -> RegisterArgs {
        let words = "signpost register --server http://ns1:8054".split(' ').chain(line.split(' '));
        match Cli::try_parse_from(words).unwrap().command {
            Some(Command::Register { instance, .. }) => instance,
            other => panic!("{other:?}"),
        }
    }

    fn body(line: &str) -> serde_json::Value {
        serde_json::to_value(Registration::new(&args(line))).unwrap()
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        assert_eq!(
            body("web web-1 --address 10.0.0.1 --port 8080"),
            serde_json::json!({
                "addresses": ["10.0.0.1"],
                "ports": [{"port": 8080, "protocol": "tcp"}],
            })
        );
    }

    #[test]
    fn what_is_given_is_sent() {
        assert_eq!(
            body(
                "web web-1 --address 10.0.0.1 --address 2001:db8::1 --port http=8080 \
                 --port dns=53/udp --weight 3 --tier 1 --tag canary --tag b --ttl none \
                 --metadata version=1.2 --metadata q=a=b --zone eu-1a --region eu"
            ),
            serde_json::json!({
                "addresses": ["10.0.0.1", "2001:db8::1"],
                "ports": [
                    {"name": "http", "port": 8080, "protocol": "tcp"},
                    {"name": "dns", "port": 53, "protocol": "udp"},
                ],
                "weight": 3,
                "tier": 1,
                "tags": ["canary", "b"],
                "metadata": {"version": "1.2", "q": "a=b"},
                "locality": {"region": "eu", "zone": "eu-1a"},
                "ttl": null,
            })
        );
    }

    #[test]
    fn the_body_is_what_the_model_reads() {
        let json = body("web web-1 --address 10.0.0.1 --port http=8080 --ttl 10s --zone eu-1a");

        let spec: crate::model::InstanceSpec = serde_json::from_value(json).unwrap();

        let id = crate::model::InstanceId::new("web-1").unwrap();
        assert!(spec.build(id, None, crate::model::Admin::Enabled).is_ok());
    }

    #[test]
    fn a_confirmation_says_how_long_and_how_to_try_it() {
        let args = args("web WEB-1 --address 10.0.0.1 --port 80");
        let reply = r#"{"instance":{"id":"web-1","ttl":"30s"},"revision":12,"generation":3,
            "expires_in_ms":30000}"#;

        let text = confirmation(
            &args.target,
            true,
            &serde_json::from_str(reply).unwrap(),
            &"http://[::1]:8054".parse().unwrap(),
        );

        assert_eq!(
            text,
            "web/web-1 is registered: revision 12, lease 30s, expires in 30s\n  \
             renew it: signpost heartbeat web web-1\n  \
             try it:   dig @::1 -p 8053 web.service.local SRV\n"
        );
    }

    #[test]
    fn without_a_lease_there_is_nothing_to_renew() {
        let args = args("web web-1 --address 10.0.0.1 --port 80 --ttl none");
        let reply = r#"{"instance":{"id":"web-1","ttl":null},"revision":12,"expires_in_ms":null}"#;

        let text = confirmation(
            &args.target,
            false,
            &serde_json::from_str(reply).unwrap(),
            &"http://ns1:8054".parse().unwrap(),
        );

        assert_eq!(
            text,
            "web/web-1 was registered already and is up to date: revision 12, no lease\n  \
             try it:   dig @ns1 -p 8053 web.service.local SRV\n"
        );
    }
}
