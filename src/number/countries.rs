//! How numbers are dialled in a country: calling codes and prefixes (ITU-T E.164 and its bulletins), as data.

/// How a country dials.
struct Plan {
    /// Its calling code.
    code: &'static str,
    /// Dialled before a country code.
    international: &'static str,
    /// Dialled before a national number and dropped behind `+`; empty where there is none.
    national: &'static str,
    /// Digits of every national number, where they all have as many and go without a prefix; else 0.
    length: usize,
}

/// What differs from [`COMMON`].
const PLANS: &[Plan] = &[
    Plan { code: "1", international: "011", national: "1", length: 10 },
    Plan { code: "7", international: "810", national: "8", length: 10 },
    Plan { code: "30", international: "00", national: "", length: 10 },
    Plan { code: "34", international: "00", national: "", length: 9 },
    Plan { code: "36", international: "00", national: "06", length: 0 },
    // The 0 of Italian and Vatican numbers belongs to the number.
    Plan { code: "39", international: "00", national: "", length: 0 },
    Plan { code: "45", international: "00", national: "", length: 8 },
    Plan { code: "47", international: "00", national: "", length: 8 },
    Plan { code: "48", international: "00", national: "", length: 9 },
    Plan { code: "61", international: "0011", national: "0", length: 0 },
    Plan { code: "65", international: "000", national: "", length: 8 },
    Plan { code: "81", international: "010", national: "0", length: 0 },
    Plan { code: "351", international: "00", national: "", length: 9 },
    Plan { code: "378", international: "00", national: "", length: 0 },
    Plan { code: "420", international: "00", national: "", length: 9 },
    Plan { code: "852", international: "001", national: "", length: 8 },
];

/// The rest of the world, near enough: 00 before a country code, 0 before a national number.
const COMMON: Plan = Plan { code: "", international: "00", national: "0", length: 0 };

/// `digits` dialled in the country with calling `code`, with `+`.
///
/// A number with neither prefix is an international one whose `+` was left out (GEN-19), except where
/// it is as long as national numbers of that country are (TDR-68).
pub(super) fn international(digits: &str, code: &str) -> String {
    let plan = PLANS.iter().find(|plan| plan.code == code).unwrap_or(&COMMON);
    if code.is_empty() {
        return format!("+{}", digits.strip_prefix(plan.international).unwrap_or(digits));
    }
    if let Some(rest) = digits.strip_prefix(plan.international).filter(|rest| !rest.starts_with('0')) {
        return format!("+{rest}");
    }
    if digits.len() == plan.length {
        return format!("+{code}{digits}");
    }
    match digits.strip_prefix(plan.national) {
        Some(rest) if !plan.national.is_empty() && (plan.length == 0 || rest.len() == plan.length) => {
            format!("+{code}{rest}")
        }
        _ if digits.starts_with('0') => format!("+{code}{digits}"),
        _ => format!("+{digits}"),
    }
}

/// The calling code, digits only, of the country with this ISO 3166 code of two letters in any case;
/// `None` for anything else.
pub fn calling_code(country: &str) -> Option<&'static str> {
    let wanted = country.to_ascii_uppercase();
    let found = CODES.iter().find(|(_, countries)| countries.split(' ').any(|country| country == wanted));
    found.filter(|_| wanted.len() == 2).map(|&(code, _)| code)
}

/// All calling codes of countries.
pub fn calling_codes() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(code, _)| *code)
}

/// Calling codes and the countries that share them.
const CODES: &[(&str, &str)] = &[
    ("1", "US CA AG AI AS BB BM BS DM DO GD GU JM KN KY LC MP MS PR SX TC TT VC VG VI"),
    ("7", "RU KZ"),
    ("20", "EG"),
    ("27", "ZA"),
    ("30", "GR"),
    ("31", "NL"),
    ("32", "BE"),
    ("33", "FR"),
    ("34", "ES"),
    ("36", "HU"),
    ("39", "IT VA"),
    ("40", "RO"),
    ("41", "CH"),
    ("43", "AT"),
    ("44", "GB GG IM JE"),
    ("45", "DK"),
    ("46", "SE"),
    ("47", "NO SJ"),
    ("48", "PL"),
    ("49", "DE"),
    ("51", "PE"),
    ("52", "MX"),
    ("53", "CU"),
    ("54", "AR"),
    ("55", "BR"),
    ("56", "CL"),
    ("57", "CO"),
    ("58", "VE"),
    ("60", "MY"),
    ("61", "AU CC CX"),
    ("62", "ID"),
    ("63", "PH"),
    ("64", "NZ"),
    ("65", "SG"),
    ("66", "TH"),
    ("81", "JP"),
    ("82", "KR"),
    ("84", "VN"),
    ("86", "CN"),
    ("90", "TR"),
    ("91", "IN"),
    ("92", "PK"),
    ("93", "AF"),
    ("94", "LK"),
    ("95", "MM"),
    ("98", "IR"),
    ("211", "SS"),
    ("212", "MA EH"),
    ("213", "DZ"),
    ("216", "TN"),
    ("218", "LY"),
    ("220", "GM"),
    ("221", "SN"),
    ("222", "MR"),
    ("223", "ML"),
    ("224", "GN"),
    ("225", "CI"),
    ("226", "BF"),
    ("227", "NE"),
    ("228", "TG"),
    ("229", "BJ"),
    ("230", "MU"),
    ("231", "LR"),
    ("232", "SL"),
    ("233", "GH"),
    ("234", "NG"),
    ("235", "TD"),
    ("236", "CF"),
    ("237", "CM"),
    ("238", "CV"),
    ("239", "ST"),
    ("240", "GQ"),
    ("241", "GA"),
    ("242", "CG"),
    ("243", "CD"),
    ("244", "AO"),
    ("245", "GW"),
    ("246", "IO"),
    ("248", "SC"),
    ("249", "SD"),
    ("250", "RW"),
    ("251", "ET"),
    ("252", "SO"),
    ("253", "DJ"),
    ("254", "KE"),
    ("255", "TZ"),
    ("256", "UG"),
    ("257", "BI"),
    ("258", "MZ"),
    ("260", "ZM"),
    ("261", "MG"),
    ("262", "RE YT"),
    ("263", "ZW"),
    ("264", "NA"),
    ("265", "MW"),
    ("266", "LS"),
    ("267", "BW"),
    ("268", "SZ"),
    ("269", "KM"),
    ("290", "SH"),
    ("291", "ER"),
    ("297", "AW"),
    ("298", "FO"),
    ("299", "GL"),
    ("350", "GI"),
    ("351", "PT"),
    ("352", "LU"),
    ("353", "IE"),
    ("354", "IS"),
    ("355", "AL"),
    ("356", "MT"),
    ("357", "CY"),
    ("358", "FI AX"),
    ("359", "BG"),
    ("370", "LT"),
    ("371", "LV"),
    ("372", "EE"),
    ("373", "MD"),
    ("374", "AM"),
    ("375", "BY"),
    ("376", "AD"),
    ("377", "MC"),
    ("378", "SM"),
    ("380", "UA"),
    ("381", "RS"),
    ("382", "ME"),
    ("383", "XK"),
    ("385", "HR"),
    ("386", "SI"),
    ("387", "BA"),
    ("389", "MK"),
    ("420", "CZ"),
    ("421", "SK"),
    ("423", "LI"),
    ("500", "FK"),
    ("501", "BZ"),
    ("502", "GT"),
    ("503", "SV"),
    ("504", "HN"),
    ("505", "NI"),
    ("506", "CR"),
    ("507", "PA"),
    ("508", "PM"),
    ("509", "HT"),
    ("590", "GP BL MF"),
    ("591", "BO"),
    ("592", "GY"),
    ("593", "EC"),
    ("594", "GF"),
    ("595", "PY"),
    ("596", "MQ"),
    ("597", "SR"),
    ("598", "UY"),
    ("599", "CW BQ"),
    ("670", "TL"),
    ("672", "NF"),
    ("673", "BN"),
    ("674", "NR"),
    ("675", "PG"),
    ("676", "TO"),
    ("677", "SB"),
    ("678", "VU"),
    ("679", "FJ"),
    ("680", "PW"),
    ("681", "WF"),
    ("682", "CK"),
    ("683", "NU"),
    ("685", "WS"),
    ("686", "KI"),
    ("687", "NC"),
    ("688", "TV"),
    ("689", "PF"),
    ("690", "TK"),
    ("691", "FM"),
    ("692", "MH"),
    ("850", "KP"),
    ("852", "HK"),
    ("853", "MO"),
    ("855", "KH"),
    ("856", "LA"),
    ("880", "BD"),
    ("886", "TW"),
    ("960", "MV"),
    ("961", "LB"),
    ("962", "JO"),
    ("963", "SY"),
    ("964", "IQ"),
    ("965", "KW"),
    ("966", "SA"),
    ("967", "YE"),
    ("968", "OM"),
    ("970", "PS"),
    ("971", "AE"),
    ("972", "IL"),
    ("973", "BH"),
    ("974", "QA"),
    ("975", "BT"),
    ("976", "MN"),
    ("977", "NP"),
    ("992", "TJ"),
    ("993", "TM"),
    ("994", "AZ"),
    ("995", "GE"),
    ("996", "KG"),
    ("998", "UZ"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_have_calling_codes() {
        assert_eq!(calling_code("DE"), Some("49"));
        assert_eq!(calling_code("us"), Some("1"));
        assert_eq!(calling_code("49"), None);
        assert_eq!(calling_code("XX"), None);
        assert_eq!(calling_code("US CA"), None);
        assert_eq!(calling_code(""), None);
    }

    #[test]
    fn no_country_stands_twice() {
        let mut all: Vec<&str> = CODES.iter().flat_map(|(_, countries)| countries.split(' ')).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
