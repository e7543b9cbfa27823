//! `ls`: the services, or one service with its instances.

use ureq::http::Method;

use crate::cli::args::OutputFormat;
use crate::cli::client::{Call, Client, encode};
use crate::cli::error::ClientError;
use crate::cli::output::printable;
use crate::cli::replies::{InstanceReply, PortReply, ServiceList, ServiceReply};
use crate::cli::table::{Layout, span};

/// Lists all services.
pub(super) fn services(client: &Client, output: OutputFormat) -> Result<(), ClientError> {
    let call = Call::new(Method::GET, "list the services", "/v1/services".into());
    let reply = client.call(call)?;
    output.show(&reply, services_table)
}

/// Lists the instances of `service`, under its settings.
pub(super) fn service(
    client: &Client,
    output: OutputFormat,
    service: &str,
) -> Result<(), ClientError> {
    let path = format!("/v1/services/{}", encode(service));
    let reply = client.call(Call::new(Method::GET, format!("list {service}"), path))?;
    output.show(&reply, service_table)
}

fn services_table(list: &ServiceList, layout: Layout) -> String {
    let header = ["SERVICE", "INSTANCES", "USABLE", "REVISION", "DECLARED"];
    let rows = list.services.iter().map(|service| {
        [
            service.service.clone(),
            service.instances.to_string(),
            format!("{}{}", service.usable, if service.panic { ", panic" } else { "" }),
            service.revision.to_string(),
            yes_or_no(service.declared).to_owned(),
        ]
    });
    layout.table(header, rows)
}

fn service_table(service: &ServiceReply, layout: Layout) -> String {
    let settings = &service.settings;
    let heading = format!(
        "{}: balance {}, answer {}, ttl {}{}, revision {}{}",
        service.service,
        settings.balance,
        settings.answer,
        settings.ttl,
        overridden(service),
        service.revision,
        if service.panic { ", in panic" } else { "" },
    );
    let header = ["ID", "ADDRESSES", "PORTS", "WEIGHT", "STATUS", "USABLE", "EXPIRES", "SOURCE"];
    let rows = service.instances.iter().map(|instance| {
        [
            instance.id.clone(),
            layout.list(&instance.addresses),
            layout.list(instance.ports.iter().map(port)),
            instance.weight.to_string(),
            instance.status.clone(),
            usable(instance, layout),
            instance.expires_in_ms.map_or_else(|| "never".to_owned(), span),
            instance.source.clone(),
        ]
    });
    format!("{}\n{}", printable(&heading), layout.table(header, rows))
}

fn overridden(service: &ServiceReply) -> String {
    if service.overrides.is_empty() {
        return String::new();
    }
    let keys: Vec<&str> = service.overrides.keys().map(String::as_str).collect();
    format!(" (overridden: {})", keys.join(", "))
}

/// As `register --port` takes it.
fn port(port: &PortReply) -> String {
    let name = port.name.as_ref().map_or_else(String::new, |name| format!("{name}="));
    match port.protocol.as_str() {
        "tcp" => format!("{name}{}", port.port),
        protocol => format!("{name}{}/{protocol}", port.port),
    }
}

fn usable(instance: &InstanceReply, layout: Layout) -> String {
    if instance.usable || instance.reasons.is_empty() {
        return yes_or_no(instance.usable).to_owned();
    }
    format!("no: {}", layout.list(&instance.reasons))
}

fn yes_or_no(fact: bool) -> &'static str {
    if fact { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_listed_a_line_each() {
        let list: ServiceList = serde_json::from_str(
            r#"{"revision":12,"services":[
                {"service":"api","revision":3,"instances":0,"usable":0,"declared":true},
                {"service":"web","revision":12,"instances":10,"usable":4,"declared":false,"panic":true,"x":1}]}"#,
        )
        .unwrap();

        assert_eq!(
            services_table(&list, Layout::Lines),
            "SERVICE  INSTANCES  USABLE    REVISION  DECLARED\n\
             api      0          0         3         yes\n\
             web      10         4, panic  12        no\n"
        );
    }

    const WEB: &str = r#"{"revision":12,"service":"web",
        "settings":{"balance":"round_robin","answer":"auto","ttl":"5s","max_answers":8},
        "overrides":{"ttl":"5s"},
        "instances":[
            {"id":"web-1","addresses":["10.0.0.1","2001:db8::1"],
             "ports":[{"name":"http","port":8080,"protocol":"tcp"},{"port":53,"protocol":"udp"}],
             "weight":3,"tier":0,"tags":["canary"],"metadata":{},"locality":{},"dependencies":[],
             "ttl":"30s","admin":"enabled","status":"passing","usable":true,"reasons":[],
             "load":null,"expires_in_ms":29999,"source":"api"},
            {"id":"web-2","addresses":["10.0.0.2"],"ports":[],
             "weight":1,"tier":0,"tags":[],"metadata":{},"locality":{},"dependencies":[],
             "ttl":null,"admin":"draining","status":"critical","usable":false,
             "reasons":["draining","status critical"],
             "load":{"cpu":0.4},"expires_in_ms":null,"source":"file"}]}"#;

    #[test]
    fn instances_are_listed_under_the_settings() {
        let service: ServiceReply = serde_json::from_str(WEB).unwrap();

        assert_eq!(
            service_table(&service, Layout::Lines),
            "web: balance round_robin, answer auto, ttl 5s (overridden: ttl), revision 12\n\
             ID     ADDRESSES             PORTS             WEIGHT  STATUS    USABLE                        EXPIRES  SOURCE\n\
             web-1  10.0.0.1,2001:db8::1  http=8080,53/udp  3       passing   yes                           29s      api\n\
             web-2  10.0.0.2              -                 1       critical  no: draining,status critical  never    file\n"
        );
    }

    #[test]
    fn instances_fit_a_terminal_of_80_columns() {
        let service: ServiceReply = serde_json::from_str(WEB).unwrap();

        let table = service_table(&service, Layout::Terminal(80));

        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }
}
