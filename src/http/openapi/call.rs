//! One call of the side-port, as the document describes it: what the tables of calls are written in.
//! What it needs of who makes it comes from the table of routes.

use serde_json::{Value, json};
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, Schema};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, Required, ResponseBuilder, header::Header, path::Operation,
};
use utoipa::{PartialSchema, ToSchema};

use crate::http::openapi::refusals;
use crate::http::problem::ProblemKind;
use crate::http::route::{Need, Route};
use crate::model::{Authentication, InstanceId, ServiceName, TokenId};

/// A call, and the schemas that it refers to.
pub(super) struct Call {
    pub(super) route: Route,
    pub(super) method: HttpMethod,
    /// The heading that it is under.
    pub(super) tag: &'static str,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    operation: OperationBuilder,
    description: String,
    refusals: Vec<ProblemKind>,
    body: bool,
}

impl Call {
    /// The call `id`: `method` of `route`. `summary` fits a line, `description` says the rest.
    pub(super) fn new(
        route: Route,
        method: HttpMethod,
        id: &str,
        summary: &str,
        description: &str,
    ) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        let mut call = Self {
            route,
            method,
            tag: "",
            schemas: Vec::new(),
            operation,
            description: description.to_owned(),
            refusals: Vec::new(),
            body: false,
        };
        let path = route.path();
        if path.contains("{service}") {
            call = call.in_path::<ServiceName>("service", "api");
        }
        if route == Route::Token {
            call = call.in_path::<TokenId>("id", "0123456789abcdef");
        } else if path.contains("{id}") {
            call = call.in_path::<InstanceId>("id", "api-1");
        }
        call
    }

    /// Under this heading.
    pub(super) fn of(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self.operation = self.operation.tag(tag);
        self
    }

    /// Has a query parameter.
    pub(super) fn query(
        self,
        name: &str,
        required: Required,
        schema: RefOr<Schema>,
        description: &str,
        example: &str,
    ) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(required)
            .description(Some(description))
            .example(Some(json!(example)));
        self.parameter(parameter, schema)
    }

    /// May have a header.
    pub(super) fn header(self, name: &str, schema: RefOr<Schema>, description: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description));
        self.parameter(parameter, schema)
    }

    /// Takes a body, of which `media_types` are legal.
    pub(super) fn takes<T: ToSchema>(
        self,
        media_types: &[&str],
        required: Required,
        example: &Value,
    ) -> Self {
        let (call, schema) = self.component::<T>();
        call.body(media_types, required, &schema, example)
    }

    /// Takes a list.
    pub(super) fn takes_list<T: ToSchema>(self, example: &Value) -> Self {
        let (call, schema) = self.component::<T>();
        let list = Schema::from(ArrayBuilder::new().items(schema)).into();
        call.body(&[JSON], Required::True, &list, example)
    }

    /// Replies with JSON.
    pub(super) fn replies<T: ToSchema>(
        self,
        status: &str,
        description: &str,
        example: Value,
    ) -> Self {
        let (mut call, schema) = self.component::<T>();
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        let mut response = ResponseBuilder::new().description(description).content(JSON, content);
        if (call.route, status) == (Route::Instance, "201") {
            let mut location = Header::new(String::schema());
            location.description = Some("The instance".to_owned());
            response = response.header("Location", location);
        }
        call.operation = call.operation.response(status, response);
        call
    }

    /// Replies with nothing but a status.
    pub(super) fn replies_nothing(mut self, status: &str, description: &str) -> Self {
        let response = ResponseBuilder::new().description(description);
        self.operation = self.operation.response(status, response);
        self
    }

    /// Replies with text, in one of these media types.
    pub(super) fn replies_text(
        mut self,
        media_types: &[&str],
        description: &str,
        example: &str,
    ) -> Self {
        let mut response = ResponseBuilder::new().description(description);
        for media_type in media_types {
            let content = ContentBuilder::new().example(Some(json!(example)));
            // A stream of events is no one text, and OpenAPI 3.1 has no word for it.
            let content = match *media_type {
                "text/event-stream" => content,
                _ => content.schema(Some(String::schema())),
            };
            response = response.content(*media_type, content.build());
        }
        self.operation = self.operation.response("200", response);
        self
    }

    /// May be refused for these reasons, besides those of all calls.
    pub(super) fn refuses(mut self, kinds: &[ProblemKind]) -> Self {
        self.refusals.extend(kinds);
        self
    }

    /// The call as the document has it where this is who has to say who they are.
    pub(super) fn operation(self, policy: Authentication) -> Operation {
        let reads = self.method == HttpMethod::Get;
        let need = self.route.need(reads);
        let mut operation = self.operation;
        for (status, response) in refusals::of(&self.refusals, self.body) {
            operation = operation.response(status, response);
        }
        let scope = match need {
            Need::Nothing | Need::Public => None,
            Need::Read => Some("read"),
            Need::Register => Some("register"),
            Need::Admin | Need::Proof => Some("admin"),
        };
        let needs = match (scope, need) {
            (None, _) => "Needs no token.".to_owned(),
            (Some(_), Need::Proof) => {
                "Needs the scope `admin`, also where no authentication is required.".to_owned()
            }
            (Some(scope), _) => format!("Needs the scope `{scope}`."),
        };
        let anonymous = !policy.required || (policy.anonymous_read && need == Need::Read);
        let anonymous = (anonymous && need != Need::Proof).then(SecurityRequirement::default);
        let token = scope.map(|scope| SecurityRequirement::new(TOKEN, [scope]));
        let operation = operation.securities(Some(anonymous.into_iter().chain(token)));
        let description = [self.description, needs].join(" ");
        operation.description(Some(description.trim_start())).build()
    }

    fn in_path<T: ToSchema>(self, name: &str, example: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .example(Some(json!(example)));
        let (call, schema) = self.component::<T>();
        call.parameter(parameter, schema)
    }

    fn parameter(mut self, parameter: ParameterBuilder, schema: RefOr<Schema>) -> Self {
        let parameter: Parameter = parameter.schema(Some(schema)).build();
        self.operation = self.operation.parameter(parameter);
        self
    }

    fn body(
        mut self,
        media_types: &[&str],
        required: Required,
        schema: &RefOr<Schema>,
        example: &Value,
    ) -> Self {
        let mut body = RequestBodyBuilder::new().required(Some(required));
        for media_type in media_types {
            let content =
                ContentBuilder::new().schema(Some(schema.clone())).example(Some(example.clone()));
            body = body.content(*media_type, content.build());
        }
        self.operation = self.operation.request_body(Some(body.build()));
        self.body = true;
        self
    }

    /// A reference to the schema of `T`, which is kept for the document.
    fn component<T: ToSchema>(mut self) -> (Self, RefOr<Schema>) {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        (self, Ref::from_schema_name(name).into())
    }
}

/// The name of the security scheme.
pub(super) const TOKEN: &str = "token";
pub(super) const JSON: &str = "application/json";
