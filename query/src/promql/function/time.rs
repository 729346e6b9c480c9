//! Element functions over dates: the value is a Unix time in seconds, the calendar is UTC.

use super::ElementKernel;

/// The kernel of a date function.
pub(super) fn kernel(name: &str) -> Option<ElementKernel> {
    Some(match name {
        "day_of_month" => |v, _, _| f64::from(Date::of(v).day),
        "day_of_week" => |v, _, _| f64::from(Date::of(v).weekday),
        "day_of_year" => |v, _, _| f64::from(Date::of(v).day_of_year()),
        "days_in_month" => |v, _, _| f64::from(Date::of(v).days_in_month()),
        "hour" => |v, _, _| (second_of_day(v) / 3600) as f64,
        "minute" => |v, _, _| (second_of_day(v) / 60 % 60) as f64,
        "month" => |v, _, _| f64::from(Date::of(v).month),
        "year" => |v, _, _| Date::of(v).year as f64,
        _ => return None,
    })
}

const DAY_S: u64 = 86_400;

/// Days in 400 years of the Gregorian calendar.
const CYCLE_DAYS: u64 = 146_097;

/// Cycles between the calendar's origin and the year 0. With the origin this far back every
/// 64-bit second has a date, the far ones by wrapping, as in Go.
const CYCLES_BEFORE: u64 = 730_692_556;

/// Days from the 1st of March of the year 0 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// Seconds since the origin; numbers that no second corresponds to become the smallest one.
fn seconds_since_origin(v: f64) -> u64 {
    // PARITY(prometheus): what a conversion of such a number gives on amd64.
    let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v);
    let unix = if in_range { v as i64 } else { i64::MIN };
    let epoch = (CYCLES_BEFORE * CYCLE_DAYS + EPOCH_DAYS) * DAY_S;
    unix.cast_unsigned().wrapping_add(epoch)
}

fn second_of_day(v: f64) -> u64 {
    seconds_since_origin(v) % DAY_S
}

/// A day of the Gregorian calendar.
struct Date {
    year: i64,
    /// From 1.
    month: u32,
    /// From 1.
    day: u32,
    /// From Sunday, which is 0.
    weekday: u32,
}

impl Date {
    /// The day of a Unix time. Years start in March here, so that the odd month is the last.
    fn of(v: f64) -> Self {
        let days = seconds_since_origin(v) / DAY_S;
        let day_of_cycle = days % CYCLE_DAYS;
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524
            - day_of_cycle / 146_096)
            / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let cycle = (days / CYCLE_DAYS) as i64 - CYCLES_BEFORE as i64;
        let year = cycle * 400 + year_of_cycle as i64 + i64::from(month <= 2);
        // The origin is a Wednesday.
        let weekday = (days + 3) % 7;
        Self { year, month: month as u32, day: day as u32, weekday: weekday as u32 }
    }

    fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(&self) -> u32 {
        match self.month {
            2 => 28 + u32::from(self.is_leap()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(&self) -> u32 {
        const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap = u32::from(self.month > 2 && self.is_leap());
        BEFORE[self.month as usize - 1] + leap + self.day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, v: f64) -> f64 {
        kernel(name).expect("known function")(v, &[], 0)
    }

    const NAMES: [&str; 8] = [
        "year",
        "month",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "days_in_month",
        "hour",
        "minute",
    ];

    #[test]
    fn dates_equal_a_calendar_library() {
        for i in 0..40_000_i64 {
            let unix = (i - 20_000) * 4_999_999 + i * 61;
            let at = jiff::Timestamp::from_second(unix).expect("in range");
            let at = at.to_zoned(jiff::tz::TimeZone::UTC);
            let expected = [
                f64::from(at.year()),
                f64::from(at.month()),
                f64::from(at.day()),
                f64::from(at.weekday().to_sunday_zero_offset()),
                f64::from(at.day_of_year()),
                f64::from(at.days_in_month()),
                f64::from(at.hour()),
                f64::from(at.minute()),
            ];
            let got = NAMES.map(|name| call(name, unix as f64));
            assert_eq!(got, expected, "{unix}");
        }
    }

    #[test]
    fn far_and_impossible_times() {
        // What Go answers on amd64.
        let smallest = NAMES.map(|name| call(name, f64::NAN));
        assert_eq!(smallest, NAMES.map(|name| call(name, f64::INFINITY)));
        assert_eq!(smallest, NAMES.map(|name| call(name, -1e300)));
        assert_eq!(smallest, [292_277_026_596.0, 12.0, 4.0, 0.0, 339.0, 31.0, 15.0, 30.0]);
        let far = NAMES.map(|name| call(name, 9e18));
        assert_eq!(far, [285_198_648_531.0, 4.0, 21.0, 6.0, 111.0, 30.0, 16.0, 0.0]);
        assert_eq!(call("hour", -1.0), 23.0);
        assert_eq!(call("year", -0.5), 1970.0);
    }
}
