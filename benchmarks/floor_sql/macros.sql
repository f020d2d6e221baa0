-- What every statement of the floor may use: the dates being loaded, the hash contract, the rate and the token.
-- The script sets the variables first_date, last_date and token_key before it runs this.

create or replace temp macro first_date() as getvariable('first_date')::date;
create or replace temp macro last_date() as getvariable('last_date')::date;
create or replace temp macro dates() as table
select unnest(range(first_date(), last_date() + interval 1 day, interval 1 day))::date as business_date;

-- Hash contract: canonical texts, each escaped, NULL as \N, joined by |, MD5 in lower-case hex.
create or replace temp macro canonical(value) as nullif(trim(value, ' '), '');
create or replace temp macro key_text(value) as upper(canonical(value));
create or replace temp macro part(text) as coalesce(replace(replace(text, '\', '\\'), '|', '\|'), '\N');
create or replace temp macro hashed
    (a) as md5(part(a)),
    (a, b) as md5(part(a) || '|' || part(b)),
    (a, b, c) as md5(part(a) || '|' || part(b) || '|' || part(c)),
    (a, b, c, d) as md5(part(a) || '|' || part(b) || '|' || part(c) || '|' || part(d)),
    (a, b, c, d, e) as md5(part(a) || '|' || part(b) || '|' || part(c) || '|' || part(d) || '|' || part(e)),
    (a, b, c, d, e, f) as md5(
        part(a) || '|' || part(b) || '|' || part(c) || '|' || part(d) || '|' || part(e) || '|' || part(f)
    ),
    (a, b, c, d, e, f, g, h) as md5(
        part(a) || '|' || part(b) || '|' || part(c) || '|' || part(d) || '|'
        || part(e) || '|' || part(f) || '|' || part(g) || '|' || part(h)
    );

-- Ten decimals before the column's own, as the marts round. As doubles: decimals of 38 digits cost ten times as much.
create or replace temp macro rate(numerator, denominator) as
    (numerator::double / nullif(denominator, 0))::decimal(18, 10);

create or replace temp macro token(value) as case when canonical(value) is not null then
    sha256(getvariable('token_key') || '|' || sha256(getvariable('token_key') || '|' || canonical(value)))
end;
