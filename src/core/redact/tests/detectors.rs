//! What each detector finds, and what it must leave alone. Those of digits are in `numbers`.

use super::{plan, text};

/// Of each line, what is between `<` and `>` must be found, and nothing else.
pub(super) fn check(detector: &str, lines: &[&str]) {
    let plan = plan(&format!(r#"[{{"detect": ["{detector}"], "action": "mask"}}]"#));
    let mask = format!("[REDACTED:{}]", detector.to_ascii_uppercase());
    let wrong: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let given = line.replace(['‹', '›'], "");
            let mut expected = (*line).to_owned();
            while let Some((before, rest)) = expected.split_once('‹') {
                let (_, after) = rest.split_once('›').unwrap();
                expected = format!("{before}{mask}{after}");
            }
            let found = text(&plan, &given);
            (found != expected).then(|| format!("{given}\n  gives    {found}\n  expected {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn email_addresses_are_found() {
    check(
        "email",
        &[
            "write to ‹alice@example.com›.",
            "‹alice.b+tag@mail.example.co.uk›, please",
            "<‹alice@example.com›>",
            "mailto:‹alice@example.com›?subject=x",
            "to=‹alice@example.com›&cc=‹bob@example.org›",
            "‹o'brien@example.com›",
            "'‹alice@example.com›'",
            "**‹alice@example.com›**",
            "‹ALICE@EXAMPLE.COM›",
            "‹alice@xn--bcher-kva.example›",
            "‹alice@bücher.example›",
            "‹jörg@example.com›",
            "‹\"john doe\"@example.com›",
            "‹alice%40example.com›",
            "‹alice&#64;example.com›",
            "‹alice&#x40;example.com›",
            "‹alice&commat;example.com›",
            "‹alice＠example．com›",
            "‹alice@exam\u{200b}ple.com›",
            "a@‹b@example.com›",
            "‹123@example.com›",
            "‹a_b-c@sub.example.museum›",
        ],
    );
}

#[test]
fn what_only_looks_like_an_email_address_stays() {
    check(
        "email",
        &[
            "@alice",
            "hello @alice.smith",
            "alice@",
            "alice@localhost",
            "alice@example",
            "react@18.2.0",
            "@scope/package@1.2.3",
            "logo@2x.png",
            "icon@3x.jpeg",
            "git@github.com:org/repo.git",
            "ssh://git@example.com/repo",
            "a @ b.com",
            "x@y.z",
            "5 apples @ 3.50",
            "@media (min-width: 1px)",
            "user@-example.com",
            "alice@192.168.0.1",
            "100%40 per cent",
            "foo@bar..com",
        ],
    );
}

#[test]
fn telephone_numbers_are_found() {
    check(
        "phone",
        &[
            "‹+41446681800›",
            "‹+41 44 668 18 00›",
            "‹+41 (0)44 668 18 00›",
            "‹+1 415-555-2671›",
            "‹+1 (415) 555-2671› and more",
            "‹+1.415.555.2671›",
            "‹+442071838750›, London",
            "‹+49 30/1234-5678›",
            "tel:‹+41446681800›",
            "call me at ‹044 668 18 00›",
            "phone: ‹(415) 555-2671›",
            "Tel. ‹0446681800›",
            "fax ‹415-555-2671›",
            "mobile number is ‹079 123 45 67›",
            "call us at ‹1-800-555-0199›",
            "whatsapp: ‹41791234567›",
            "‹＋41 44 668 18 00›",
            "‹%2B41446681800›",
            "‹+41\u{a0}44\u{a0}668\u{a0}18\u{a0}00›",
        ],
    );
}

#[test]
fn what_only_looks_like_a_telephone_number_stays() {
    check(
        "phone",
        &[
            "0446681800",
            "(415) 555-2671",
            "1234567890",
            "+1234567",
            "+0123456789",
            "1+12345678",
            "2024-05-06T12:33:11+02:00",
            "+12 apples",
            "+47.376920",
            "+1 555",
            "order 1234-5678-9012",
            "node 1234:5678",
            "call 2024-05-06",
            "call id 1234567890",
            "phone model 12345678",
            "cancelled 123456789",
            "call at 1700000000",
            "hotel 123456789",
            "call 3 times, then wait 1000 ms",
            "+1234567890123456",
            "call +12.50",
        ],
    );
}

#[test]
fn addresses_are_found() {
    check(
        "ip",
        &[
            "‹192.168.0.1›",
            "from ‹10.0.0.1›:8080",
            "‹10.0.0.0›/8",
            "http://‹203.0.113.7›/x",
            "‹8.8.8.8›.",
            "(‹8.8.8.8›)",
            "ip=‹172.16.254.1›,",
            "‹2001:db8::1›",
            "[‹2001:db8::1›]:443",
            "‹fe80::1ff:fe23:4567:890a›%eth0",
            "‹2001:0db8:85a3:0000:0000:8a2e:0370:7334›",
            "‹::1›",
            "‹::ffff:192.0.2.128›",
            "from ‹2001:DB8::1›: timeout",
            "peer ‹10.0.0.1›-‹10.0.0.9›",
            "localhost/‹127.0.0.1›",
            "‹１９２.168.0.1›",
        ],
    );
}

#[test]
fn what_only_looks_like_an_address_stays() {
    check(
        "ip",
        &[
            "1.2.3.4.5",
            "v1.2.3.4",
            "version 1.2.3.4",
            "Release: 1.2.3.4",
            "section 1.2.3.4",
            "256.1.1.1",
            "1.2.3",
            "1.3.6.1.4.1.311",
            "120.0.6099.109",
            "01.02.03.04",
            "12:33:11",
            "2024-05-06T12:33:11Z",
            "std::vector",
            "a::b",
            "Foo::Bar::baz",
            "00:11:22:33:44:55",
            "00:11:22:33:44:55:66:77",
            "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01",
            "::",
            "key: value",
            "1.2.3.4a",
        ],
    );
}

#[test]
fn secrets_are_found() {
    let jwt =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----";
    check(
        "secret",
        &[
            &format!("‹{jwt}›"),
            &format!("token={jwt}").replace(jwt, &format!("‹{jwt}›")),
            &format!("Authorization: Bearer ‹{jwt}›"),
            &format!("key: ‹{pem}› end"),
            &format!("‹{}›", pem.replace('\n', "\\n")),
            "‹-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----›",
            "‹-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n›",
            "‹AKIAIOSFODNN7EXAMPLE›",
            "id ‹ASIAIOSFODNN7EXAMPLE›;",
            "‹ghp_abcdefghijklmnopqrstuvwxyz0123456789›",
            "‹gho_abcdefghijklmnopqrstuvwxyz0123456789›",
            "‹github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz›",
            "‹glpat-abcdefghij0123456789›",
            "‹xoxb-123456789012-abcdefGHIJ›",
            &format!("‹sk_live{}›", "_4eC39HqLyjWDarjtT1zdp7dc"),
            &format!("‹rk_live{}›", "_4eC39HqLyjWDarjtT1zdp7dc"),
            "‹AIzaSyA1234567890abcdefghijklmnopqrstuv›",
            "‹sk-proj-abcdefghijklmnop0123456789›",
            "‹sk-ant-api03-abcdefghijklmnop0123456789-AA›",
            "‹sk-abcdefghijklmnopqrstuvwxyz012345›",
            "‹npm_abcdefghijklmnopqrstuvwxyz0123456789›",
            "‹pypi-AgEIcHlwaS5vcmcCJDAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMA›",
            "https://x.blob.core.windows.net/c?sv=2022&sig=‹abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG%3D›&se=1",
            "Authorization: Bearer ‹abcdef›",
            "curl -H 'authorization: bearer ‹0123456789abcdef0123›'",
            "Authorization: Basic ‹YWxpY2U6c2VjcmV0›",
            "postgres://app:‹s3cr3t›@db/prod",
            "https://alice:‹p:w›@example.com/x?y=a@b",
            "aws_secret_access_key = ‹wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY›",
        ],
    );
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    check(
        "secret",
        &[
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJub3RhbGciOjF9.abc.def",
            "eyJ.eyJ.eyJ",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
            "AKIA",
            "AKIAIOSFODNN7EXAMPL",
            "XAKIAIOSFODNN7EXAMPLE",
            "ghp_short",
            "sk-learn-something-very-long-name",
            "task-abcdefghijklmnopqrstuvwxyz012345",
            "sk-container-id-1-and-some-more",
            "xoxb-",
            "AIza",
            "npm_config_registry",
            "pypi-server",
            "bearer of good news",
            "the Bearer authentication scheme",
            "Basic understanding",
            "https://example.com:8080/x@y",
            "https://alice@example.com/",
            "sig=short",
            "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
            "550e8400-e29b-41d4-a716-446655440000",
        ],
    );
}
