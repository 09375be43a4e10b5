//! Hosts and paths: a normal form must be its own.

use causeway_core::route::normal::{lenient_path, normal_path};
use causeway_core::route::normal_host;

pub(super) fn path(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let Ok(normal) = normal_path(path) else { return };
    is_resolved(&normal);
    assert!(normal.bytes().all(|b| b.is_ascii_graphic() && !b"#?\\".contains(&b)), "{normal:?}");
    assert_eq!(normal_path(&normal).as_deref(), Ok(&*normal), "of {path:?}");
    if let Some(lenient) = lenient_path(&normal) {
        is_resolved(&lenient);
        assert!(!lenient.contains(['\\', ';']), "{lenient:?} of {normal:?}");
        assert_eq!(lenient_path(&lenient), None, "{lenient:?} of {normal:?}");
    }
}

/// No segment is left that means another one.
fn is_resolved(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{path:?}");
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{path:?}");
}

pub(super) fn host(data: &[u8]) {
    let Ok(authority) = std::str::from_utf8(data) else { return };
    let Some(host) = normal_host(authority) else { return };
    if host.contains(':') {
        // An IPv6 address is written with brackets in an authority, and without in its normal form.
        assert_eq!(normal_host(&format!("[{host}]:443")).as_deref(), Some(&*host), "of {authority:?}");
        return;
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    assert!(!host.is_empty() && host.bytes().all(plain), "{host:?}");
    for same in [host.to_string(), format!("{host}.:8443"), host.to_ascii_uppercase()] {
        assert_eq!(normal_host(&same).as_deref(), Some(&*host), "{same:?}, of {authority:?}");
    }
}
