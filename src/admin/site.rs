//! Who may ask the operators' listener at all, whatever they ask for: no page of another site, under whichever name it
//! makes a browser call us (abuse case 195). And the headers that keep our pages from being used against those who read
//! them. Who the person is comes after, in `auth`.

use crate::admin::Admin;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Everything that pages use is ours: no script in the page itself, nothing from elsewhere, no frame around it.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Refuses foreign names and foreign pages, and guards what is answered.
pub async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let public_url = admin.gateway.live.load().snapshot.gateway.console.public_url.clone();
    let mut response = match check(request.method(), request.headers(), &public_url) {
        Ok(()) if is_for_machines(request.uri().path()) && is_from_outside(request.headers()) => {
            StatusCode::NOT_FOUND.into_response()
        }
        Ok(()) => next.run(request).await,
        Err(reason) => (StatusCode::FORBIDDEN, reason).into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request with these headers is no trick of another site. Browsers can't be made to leave out or change what
/// is looked at here.
fn check(method: &Method, headers: &HeaderMap, public_url: &str) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let public_host = public_url.split_once("://").map_or("", |(_, host)| host);
    let host = text(header::HOST).unwrap_or_default();
    if !host.eq_ignore_ascii_case(public_host) && !is_inside(host) {
        return Err("This Host is not served here; use the address of the admin listener, or console.public_url\n");
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let ours = |origin: &HeaderValue| origin == public_url || *origin == format!("http://{host}");
    if !origins.all(ours) {
        return Err("Pages of another site may not ask here\n");
    }
    // Fetch Metadata: what another site makes a browser send, links that a person follows apart.
    let cross = matches!(text(header::HeaderName::from_static("sec-fetch-site")), Some("cross-site" | "same-site"));
    if cross && !(method == Method::GET || method == Method::HEAD) {
        return Err("Pages of another site may not ask here\n");
    }
    Ok(())
}

/// What asks nobody who they are, and tells how the gateway is.
fn is_for_machines(path: &str) -> bool {
    matches!(path, "/metrics" | "/readyz")
}

/// Whether people's own name for the console was used, which is known outside.
fn is_from_outside(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    !host.is_some_and(is_inside)
}

/// The listener is asked for by address, or by a name without dots, as machines inside a network call each other.
fn is_inside(host: &str) -> bool {
    let Ok(url) = url::Url::parse(&format!("http://{host}/")) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => !name.contains('.') || name.ends_with(".svc") || name.ends_with(".local"),
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_inside_a_network_are_served() {
        for good in ["127.0.0.1:9000", "localhost:9000", "[::1]:9000", "portcullis:9000", "gw.prod.svc:9000"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in ["", "evil.example:9000", "127.0.0.1.evil.example", "a@b.example"] {
            assert!(!is_inside(bad), "{bad}");
        }
    }

    #[test]
    fn how_the_gateway_is_concerns_nobody_outside() {
        let outside = |host: &'static str| {
            is_from_outside(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]))
        };
        assert!(outside("console.example.com") && outside("CONSOLE.example.com:443"));
        assert!(!outside("127.0.0.1:9000") && !outside("gw.prod.svc:9000"));
        assert!(is_for_machines("/metrics") && is_for_machines("/readyz") && !is_for_machines("/healthz"));
    }

    #[test]
    fn a_page_of_another_site_is_told_apart() {
        let allowed = |method: Method, headers: &[(&'static str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
            check(&method, &headers.collect(), "https://console.example.com").is_ok()
        };
        let ours = ("host", "console.example.com");
        assert!(allowed(Method::GET, &[ours]));
        assert!(allowed(Method::GET, &[ours, ("sec-fetch-site", "cross-site")]), "a link in a mail");
        assert!(allowed(Method::POST, &[ours, ("origin", "https://console.example.com")]));
        assert!(allowed(Method::POST, &[("host", "127.0.0.1:9000"), ("origin", "http://127.0.0.1:9000")]));
        for headers in [
            &[("host", "evil.example")][..],
            &[],
            &[ours, ("origin", "https://evil.example")],
            &[ours, ("origin", "null")],
            &[ours, ("origin", "https://console.example.com:8443")],
            &[ours, ("origin", "https://console.example.com"), ("origin", "https://evil.example")],
            &[("host", "127.0.0.1:9000"), ("origin", "http://127.0.0.1:9001")],
            &[ours, ("sec-fetch-site", "cross-site")],
            &[ours, ("sec-fetch-site", "same-site")],
        ] {
            assert!(!allowed(Method::POST, headers), "{headers:?}");
        }
    }
}
