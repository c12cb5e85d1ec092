//! The parameters of a read: those that it knows, each given at most once, and no others. All but
//! ids are whole numbers.

use actix_web::HttpRequest;

use super::error::Failure;

/// The values of `names`, in their order.
///
/// # Errors
/// 400 for a parameter that is not among them, given twice, or no whole number below 2^64.
pub fn numbers<const N: usize>(
    request: &HttpRequest,
    names: [&'static str; N],
) -> Result<[Option<u64>; N], Failure> {
    let mut values = [None; N];
    for (at, text) in texts(request, names)?.into_iter().enumerate() {
        values[at] = text.map(|text| number(names[at], text)).transpose()?;
    }
    Ok(values)
}

/// The values of `names` as they are written, in their order.
///
/// # Errors
/// 400 for a parameter that is not among them, or given twice.
pub fn texts<'a, const N: usize>(
    request: &'a HttpRequest,
    names: [&'static str; N],
) -> Result<[Option<&'a str>; N], Failure> {
    let mut values = [None; N];
    for part in request.query_string().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let Some(at) = names.iter().position(|known| *known == name) else {
            return Err(unknown(&names));
        };
        if values[at].replace(value).is_some() {
            return Err(Failure::malformed(format!("{}: given twice", names[at])));
        }
    }
    Ok(values)
}

/// For a route without parameters.
///
/// # Errors
/// 400 for any.
pub fn none(request: &HttpRequest) -> Result<(), Failure> {
    numbers(request, []).map(|[]| ())
}

/// A whole number, digits only.
///
/// # Errors
/// 400, naming the field.
pub fn number(name: &'static str, text: &str) -> Result<u64, Failure> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| Failure::malformed(format!("{name}: must be a whole number below 2^64")))
}

fn unknown(names: &[&str]) -> Failure {
    Failure::malformed(match names {
        [] => "query: this route takes no parameters".to_owned(),
        names => format!("query: this route takes {}", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn run(query: &str) -> Result<[Option<u64>; 2], String> {
        let request = TestRequest::get().uri(&format!("/roots{query}")).to_http_request();
        numbers(&request, ["since", "limit"]).map_err(|failure| failure.details().to_owned())
    }

    #[test]
    fn parameters_are_known_whole_numbers_given_once() {
        assert_eq!(run(""), Ok([None, None]));
        assert_eq!(run("?"), Ok([None, None]));
        assert_eq!(run("?limit=7"), Ok([None, Some(7)]));
        assert_eq!(run("?limit=7&since=0"), Ok([Some(0), Some(7)]));
        assert_eq!(run("?since=18446744073709551615"), Ok([Some(u64::MAX), None]));
        let check = |query: &str, details: &str| assert_eq!(run(query), Err(details.to_owned()));
        check("?page=1", "query: this route takes since, limit");
        check("?limit=1&limit=1", "limit: given twice");
        for bad in ["", "-1", "+1", "1.0", "x", "%31", "18446744073709551616"] {
            check(&format!("?limit={bad}"), "limit: must be a whole number below 2^64");
        }
        check("?limit", "limit: must be a whole number below 2^64");
    }

    #[test]
    fn a_route_without_parameters_takes_none() {
        let request = |uri| TestRequest::get().uri(uri).to_http_request();
        assert!(none(&request("/supply")).is_ok());
        assert!(none(&request("/supply?asset=RON")).is_err());
    }
}
