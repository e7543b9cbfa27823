//! How values that are texts and numbers in JSON are described in the document of the side-port: next
//! to the types, so that a limit is written down once. Types with fields derive theirs.

use utoipa::openapi::schema::{
    AnyOfBuilder, Object, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{ArrayBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::model::address::Address;
use crate::model::change::Revision;
use crate::model::check::{Check, CheckPort, Checks};
use crate::model::check_form::CheckForm;
use crate::model::duration::DurationText;
use crate::model::ejection::EjectionMax;
use crate::model::guards::{Share, SlowStart};
use crate::model::http_check::{Content, Headers, Host, RequestPath, StatusCodes};
use crate::model::lease::LeaseTtl;
use crate::model::metadata::Metadata;
use crate::model::name::{InstanceId, Label, PortName, ServiceName};
use crate::model::network::Network;
use crate::model::numbers::PortNumber;
use crate::model::service_pattern::ServicePattern;
use crate::model::settings::{RecordTtl, TxtPolicy};
use crate::model::token::TokenId;

/// A whole number of this range.
pub(super) fn number(min: u16, max: u16) -> ObjectBuilder {
    integer().minimum(Some(min)).maximum(Some(max))
}

/// A duration of the range that `legal` says, e.g. `1s-24h`.
pub(super) fn span(legal: &str) -> ObjectBuilder {
    text(DURATION).description(Some(format!("{legal}: a whole number and a unit")))
}

/// Pairs to set, or with null to remove.
pub(super) fn metadata_patch() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let value = text().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    let map = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .property_names(Some(text().min_length(Some(1)).max_length(Some(128))))
        .additional_properties(Some(Schema::from(value.max_length(Some(512)))))
        .description(Some("Entries to set, or with null to remove"));
    map.into()
}

/// Describes types by one expression each.
macro_rules! described {
    ($($(#[$doc:meta])* $type:ty => $schema:expr,)*) => {
        $(
            impl PartialSchema for $type {
                fn schema() -> RefOr<Schema> {
                    Schema::from($schema).into()
                }
            }

            impl ToSchema for $type {}
        )*
    };
}

described! {
    Label => text(LABEL).description(Some("A DNS label; upper case is folded")),
    ServiceName => text(SHORT_LABEL).description(Some("A service; upper case is folded")),
    InstanceId => text(&format!("^(?!{RESERVED}$){}", &LABEL[1..]))
        .description(Some("An instance of a service; upper case is folded")),
    PortName => text(SHORT_LABEL).description(Some("A port's name; upper case is folded")),
    Revision => integer()
        .minimum(Some(0_u16))
        .description(Some("The number of a change: it only grows")),
    Address => AnyOfBuilder::new()
        .item(format("ipv4"))
        .item(format("ipv6"))
        .description(Some("A unicast IP address that clients can connect to")),
    Network => text("^[0-9a-fA-F.:]+/[0-9]{1,3}$").description(Some("Addresses in CIDR form")),
    ServicePattern => text("^([a-zA-Z0-9][a-zA-Z0-9_-]{0,60}[a-zA-Z0-9]|[a-zA-Z0-9]|([a-zA-Z0-9][a-zA-Z0-9_-]{0,61})?\\*)$")
        .description(Some("A service, the beginning of names and a star, or a star for all")),
    TokenId => text("^[0-9a-fA-F]{16}$").description(Some("What a token is called by")),
    DurationText => text(DURATION).description(Some("A whole number and a unit")),
    LeaseTtl => span("1s-24h"),
    RecordTtl => span("0s-1h"),
    SlowStart => span("0s-1h"),
    Share => share(),
    EjectionMax => share(),
    TxtPolicy => AnyOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["none", "all"])))
        .item(ArrayBuilder::new().items(Object::with_type(Type::String)))
        .description(Some("None, all, or these keys of the metadata")),
    Metadata => map(128, 512, 64).description(Some("Pairs of strings; limits are in bytes")),
    CheckPort => AnyOfBuilder::new()
        .item(PortNumber::schema())
        .item(PortName::schema())
        .description(Some("The number or the name of a port")),
    RequestPath => text("^/[!-\"$-~]{0,1023}$").description(Some("A path and perhaps a query")),
    Host => text("^[a-zA-Z0-9._:\\[\\]-]{1,259}$").description(Some("A host and perhaps a port")),
    Content => ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(256))
        .description(Some("A part of a body")),
    Headers => map(64, 512, 16).description(Some("Header fields, none of them of the connection")),
    StatusCodes => AnyOfBuilder::new()
        .item(number(100, 599))
        .item(text("^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"))
        .description(Some("One status code, or a range of them")),
}

impl PartialSchema for Check {
    fn schema() -> RefOr<Schema> {
        CheckForm::schema()
    }
}

impl ToSchema for Check {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        CheckForm::schemas(schemas);
    }
}

impl PartialSchema for Checks {
    fn schema() -> RefOr<Schema> {
        let item = utoipa::openapi::Ref::from_schema_name(Check::name());
        Schema::from(ArrayBuilder::new().items(item).max_items(Some(Self::MAX))).into()
    }
}

impl ToSchema for Checks {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Check::name().into(), Check::schema()));
        Check::schemas(schemas);
    }
}

fn integer() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer)
}

fn share() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0_u16))
        .maximum(Some(1_u16))
        .description(Some("A share of a whole; 0 is off"))
}

fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern))
}

fn format(name: &str) -> ObjectBuilder {
    let format = SchemaFormat::Custom(name.to_owned());
    ObjectBuilder::new().schema_type(Type::String).format(Some(format))
}

fn map(key: usize, value: usize, entries: usize) -> ObjectBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(text().min_length(Some(1)).max_length(Some(key))))
        .additional_properties(Some(Schema::from(text().max_length(Some(value)))))
        .max_properties(Some(entries))
}

const LABEL: &str = "^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$";
/// One shorter.
const SHORT_LABEL: &str = "^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,60}[a-zA-Z0-9])?$";
const RESERVED: &str = "([tT][aA][gG]|[zZ][oO][nN][eE]|[kK][eE][yY])";
const DURATION: &str = "^[0-9]{1,12}(ms|s|m|h|d)$";
