//! What a certificate calls its holder.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use crate::config::CertName;

/// Names of one certificate that are looked at.
const NAMES_MAX: usize = 64;

/// The DNS names and URIs of its alternative names, and its common name; none of one that does not
/// parse, which a verifier has let pass then.
pub(in crate::app) fn names(certificate: &CertificateDer<'_>) -> Vec<CertName> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let alternative = alternative.into_iter().flat_map(|names| &names.value.general_names);
    let alternative = alternative.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(CertName::Dns(name.to_ascii_lowercase())),
        GeneralName::URI(name) => Some(CertName::Uri((*name).to_owned())),
        _ => None,
    });
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let common = common.map(|name| CertName::Cn(name.to_owned()));
    alternative.chain(common).take(NAMES_MAX).collect()
}
