//! The paths of the side-port, as a closed set: the router and the metrics name them alike.

/// Defines [`Route`] from one list of paths.
macro_rules! routes {
    ($($route:ident $path:literal,)*) => {
        /// A path that exists, or none of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Route {
            $(#[doc = $path] $route,)*
            /// No path that exists.
            Other,
        }

        impl Route {
            /// How many there are.
            pub(crate) const COUNT: usize = [$(Self::$route,)* Self::Other].len();

            /// The path as the router matches it.
            pub(crate) fn path(self) -> &'static str {
                match self {
                    $(Self::$route => $path,)*
                    Self::Other => "other",
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

routes! {
    Instance "/v1/services/{service}/instances/{id}",
    Heartbeat "/v1/services/{service}/instances/{id}/heartbeat",
    Drain "/v1/services/{service}/instances/{id}/drain",
    Services "/v1/services",
    Service "/v1/services/{service}",
    Reports "/v1/services/{service}/reports",
    Heartbeats "/v1/heartbeats",
    Batch "/v1/batch",
    Watch "/v1/watch",
    Resolve "/v1/resolve",
    Reload "/v1/reload",
    Health "/healthz",
    Ready "/readyz",
    Metrics "/metrics",
    Profile "/debug/pprof/profile",
    Snapshot "/v1/snapshot",
}
