//! The paths of the side-port, as a closed set: the router and the metrics name them alike. And what
//! each call needs of who makes it, all in one table.

/// Defines [`Route`] from one list of paths, each with what reads (GET, HEAD) and writes of it need.
macro_rules! routes {
    ($($route:ident $path:literal $read:ident $write:ident,)*) => {
        /// A path that exists, or none of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Route {
            $(#[doc = $path] $route,)*
            /// No path that exists.
            Other,
        }

        impl Route {
            /// All that exist.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$route,)*];

            /// How many there are, with that of no path.
            pub(crate) const COUNT: usize = Self::ALL.len() + 1;

            /// The path as the router matches it.
            pub(crate) fn path(self) -> &'static str {
                match self {
                    $(Self::$route => $path,)*
                    Self::Other => "other",
                }
            }

            /// What a call needs that `reads`, or else writes.
            pub(crate) fn need(self, reads: bool) -> Need {
                match self {
                    $(Self::$route => if reads { Need::$read } else { Need::$write },)*
                    Self::Other => Need::Nothing,
                }
            }

            /// The route whose path the router has matched.
            pub(crate) fn of(path: &str) -> Self {
                match path {
                    $($path => Self::$route,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

/// What a call needs of who makes it: nothing, or a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Probes, and what does not exist.
    Nothing,
    /// What is no secret, by a name of this server's.
    Public,
    /// To see what is there.
    Read,
    /// To write instances of some services.
    Register,
    /// To change what is everybody's.
    Admin,
    /// To say who others are: an admin, who proved it, also where nobody else has to. Or whoever comes
    /// by before authentication is required could make a token for afterwards.
    Proof,
}

routes! {
    Instance "/v1/services/{service}/instances/{id}" Read Register,
    Heartbeat "/v1/services/{service}/instances/{id}/heartbeat" Read Register,
    Drain "/v1/services/{service}/instances/{id}/drain" Read Register,
    Services "/v1/services" Read Admin,
    Service "/v1/services/{service}" Read Admin,
    // Outcomes eject instances.
    Reports "/v1/services/{service}/reports" Read Register,
    Heartbeats "/v1/heartbeats" Read Register,
    Batch "/v1/batch" Read Register,
    Watch "/v1/watch" Read Admin,
    Resolve "/v1/resolve" Read Admin,
    Tokens "/v1/tokens" Proof Proof,
    Token "/v1/tokens/{id}" Proof Proof,
    Reload "/v1/reload" Admin Admin,
    Health "/healthz" Nothing Admin,
    Ready "/readyz" Nothing Admin,
    Metrics "/metrics" Read Admin,
    Profile "/debug/pprof/profile" Admin Admin,
    // All metadata, and what operators said.
    Snapshot "/v1/snapshot" Admin Admin,
    Document "/openapi.json" Public Admin,
    Docs "/docs" Public Admin,
}
