//! Dates, and how the PC's clock chip writes them.

/// A date and time of the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    /// Four digits.
    pub(crate) year: u32,
    /// 1 to 12.
    pub(crate) month: u32,
    /// 1 to 31.
    pub(crate) day: u32,
    /// 0 to 23.
    pub(crate) hour: u32,
    /// 0 to 59.
    pub(crate) minute: u32,
    /// 0 to 60.
    pub(crate) second: u32,
}

impl Date {
    /// Returns the seconds since 1970-01-01 00:00, as POSIX counts them (no leap seconds).
    pub(crate) fn seconds_since_1970(self) -> u64 {
        // Years start in March here, so that the leap day is the last of its year.
        let (year, month) = if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let days_before_month = (month * 153 + 2) / 5;
        let days_before_year = year * 365 + year / 4 - year / 100 + year / 400;
        // 719,468 days lie between 0000-03-01 and 1970-01-01.
        let days = u64::from(days_before_year + days_before_month + self.day - 1) - 719_468;
        ((days * 24 + u64::from(self.hour)) * 60 + u64::from(self.minute)) * 60 + u64::from(self.second)
    }
}

/// The clock chip's registers as read (MC146818A data sheet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockFields {
    pub(crate) second: u8,
    pub(crate) minute: u8,
    pub(crate) hour: u8,
    pub(crate) day: u8,
    pub(crate) month: u8,
    /// Two digits.
    pub(crate) year: u8,
    /// The digits before `year`, on chips that have them.
    pub(crate) century: Option<u8>,
    /// Status register B: bit 2 binary (else BCD), bit 1 24 hours (else 12).
    pub(crate) format: u8,
}

impl ClockFields {
    /// Returns the date meant; `None` if it is none.
    pub(crate) fn date(self) -> Option<Date> {
        let is_binary = self.format & 0x04 != 0;
        let has_24_hours = self.format & 0x02 != 0;
        let number = |field: u8| u32::from(if is_binary { field } else { from_bcd(field) });

        let hour = if has_24_hours {
            number(self.hour)
        } else {
            // Bit 7 means afternoon; 12 is the hour before 1.
            number(self.hour & 0x7f) % 12 + if self.hour & 0x80 != 0 { 12 } else { 0 }
        };
        // Without a century: this chip was made after 1970.
        let year = match self.century.map(number) {
            Some(century @ 19..=29) => century * 100 + number(self.year),
            _ if number(self.year) < 70 => 2000 + number(self.year),
            _ => 1900 + number(self.year),
        };
        let date = Date {
            year,
            month: number(self.month),
            day: number(self.day),
            hour,
            minute: number(self.minute),
            second: number(self.second),
        };
        let is_possible = (1970..3000).contains(&date.year)
            && (1..=12).contains(&date.month)
            && (1..=31).contains(&date.day)
            && date.hour < 24
            && date.minute < 60
            && date.second <= 60;
        is_possible.then_some(date)
    }
}

/// Reads two decimal digits, four bits each.
fn from_bcd(field: u8) -> u8 {
    (field >> 4) * 10 + (field & 0xf)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: ClockFields = ClockFields {
        second: 0x56,
        minute: 0x34,
        hour: 0x12,
        day: 0x29,
        month: 0x02,
        year: 0x24,
        century: Some(0x20),
        format: 0x02,
    };

    #[test]
    fn bcd_date_is_counted_from_1970() {
        assert_eq!(NOON.date().map(Date::seconds_since_1970), Some(1_709_210_096));
    }

    #[test]
    fn twelve_hours_know_noon_and_midnight() {
        let hour = |hour| ClockFields { hour, format: 0, ..NOON }.date().map(|date| date.hour);
        assert_eq!(hour(0x12), Some(0));
        assert_eq!(hour(0x92), Some(12));
        assert_eq!(hour(0x81), Some(13));
        assert_eq!(hour(0x11), Some(11));
    }

    #[test]
    fn binary_date_equals_bcd_date() {
        let binary =
            ClockFields { second: 56, minute: 34, hour: 12, day: 29, month: 2, year: 24, century: None, format: 0x06 };
        assert_eq!(binary.date(), NOON.date());
    }

    #[test]
    fn nonsense_is_no_date() {
        assert_eq!(ClockFields { month: 0x13, ..NOON }.date(), None);
        assert_eq!(ClockFields { second: 0xff, minute: 0xff, ..NOON }.date(), None);
    }

    #[test]
    fn epoch_is_zero() {
        let epoch = Date { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
        assert_eq!(epoch.seconds_since_1970(), 0);
    }
}
