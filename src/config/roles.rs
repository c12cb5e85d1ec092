//! Who of the holders of certificates may do what on the admin plane, as one line of text:
//! `dns:ops.example=operator+chaos, uri:spiffe://example/audit=auditor, cn:alice=operator`.

use std::fmt;
use std::str::FromStr;

use super::model::Role;

/// Names with roles.
const GRANTS_MAX: usize = 256;

/// A name, as a certificate has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertName {
    /// A DNS name of the subject's alternative names, whatever its letters' case.
    Dns(String),
    /// A URI of them.
    Uri(String),
    /// The common name of the subject.
    Cn(String),
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            CertName::Dns(name) => ("dns", name),
            CertName::Uri(name) => ("uri", name),
            CertName::Cn(name) => ("cn", name),
        };
        write!(f, "{kind}:{name}")
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleSet(u8);

impl RoleSet {
    /// Every role.
    pub const ALL: RoleSet = RoleSet(0b111);

    /// Whether it has this one.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn with(self, role: Role) -> Self {
        RoleSet(self.0 | 1 << role as u8)
    }
}

/// The roles of each name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Vec<(CertName, Vec<Role>)>);

impl Roles {
    /// Whether nobody has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the holder of a certificate with these names may do: all that one of them may.
    pub fn of(&self, names: &[CertName]) -> RoleSet {
        let granted = self.0.iter().filter(|(name, _)| names.contains(name));
        granted.flat_map(|(_, roles)| roles).fold(RoleSet::default(), |set, &role| set.with(role))
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let grants = text.split(',').map(str::trim).filter(|grant| !grant.is_empty());
        let grants = grants.map(grant).collect::<Result<Vec<_>, _>>()?;
        if grants.len() > GRANTS_MAX {
            return Err(format!("more than {GRANTS_MAX} names"));
        }
        Ok(Roles(grants))
    }
}

fn grant(text: &str) -> Result<(CertName, Vec<Role>), String> {
    let form = || format!("`{text}` is not KIND:NAME=ROLE+..., as in dns:ops.example=operator");
    // A URI may hold the sign, a role does not.
    let (name, roles) = text.rsplit_once('=').ok_or_else(form)?;
    let (kind, name) =
        name.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(form)?;
    let name = match kind {
        "dns" => CertName::Dns(name.to_ascii_lowercase()),
        "uri" => CertName::Uri(name.to_owned()),
        "cn" => CertName::Cn(name.to_owned()),
        _ => return Err(form()),
    };
    let roles = roles.split('+').map(str::parse).collect::<Result<Vec<Role>, _>>()?;
    Ok((name, roles))
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, roles)) in self.0.iter().enumerate() {
            let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
            let separator = if at == 0 { "" } else { "," };
            write!(f, "{separator}{name}={}", roles.join("+"))?;
        }
        Ok(())
    }
}

impl serde::Serialize for Roles {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Roles {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_the_roles_of_all_names_and_of_no_other_kind() {
        let text = "dns:Ops.example=operator+chaos,uri:spiffe://x/a?b=c=auditor,cn:alice=operator";
        let roles: Roles = text.parse().unwrap();
        let check = |names: &[CertName], expected: &[Role]| {
            for role in [Role::Operator, Role::Auditor, Role::Chaos] {
                let has = roles.of(names).has(role);
                assert_eq!(has, expected.contains(&role), "{names:?} {role}");
            }
            assert_eq!(roles.of(names).is_empty(), expected.is_empty());
        };
        let (dns, uri) = (|n: &str| CertName::Dns(n.into()), |n: &str| CertName::Uri(n.into()));
        let cn = |n: &str| CertName::Cn(n.into());
        check(&[], &[]);
        check(&[dns("ops.example")], &[Role::Operator, Role::Chaos]);
        check(&[uri("spiffe://x/a?b=c")], &[Role::Auditor]);
        check(&[cn("alice")], &[Role::Operator]);
        check(&[cn("alice"), uri("spiffe://x/a?b=c")], &[Role::Operator, Role::Auditor]);
        // A name of another kind, or a longer one, is another name.
        check(&[cn("ops.example"), dns("alice"), uri("ops.example")], &[]);
        check(&[dns("x.ops.example"), cn("Alice"), cn("alic")], &[]);
        let printed = roles.to_string();
        assert_eq!(printed, text.replace("Ops", "ops"));
        assert_eq!(printed.parse(), Ok(roles));
        assert!(RoleSet::ALL.has(Role::Operator) && RoleSet::ALL.has(Role::Chaos));
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        assert!("".parse::<Roles>().unwrap().is_empty());
        for bad in [
            "alice=operator",
            "cn:=operator",
            "cn:alice",
            "cn:alice=",
            "ip:1=operator",
            "cn:a=root",
        ] {
            assert!(bad.parse::<Roles>().is_err(), "{bad}");
        }
        let many = vec!["cn:a=auditor"; GRANTS_MAX + 1].join(",");
        assert!(many.parse::<Roles>().unwrap_err().contains("256"));
    }
}
