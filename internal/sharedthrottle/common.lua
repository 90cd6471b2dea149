-- What reserve.lua and settle.lua begin with.
--
-- Failures and unanswered attempts are sorted sets of whose they are, by the moment at which all of
-- them are refunded (the theoretical arrival time of GCRA). Undecided attempts are sorted sets of
-- their ids, by the moment at which they began. All times are whole microseconds of this server's
-- clock, which a Lua number holds exactly until the year 2255.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function int(n) return string.format('%.0f', n) end

-- debt is the time until everything is refunded. No debt is larger than two whole budgets, one of
-- failures and one of failures that were not reserved: a clock that was set back must not keep
-- anybody out for longer.
local function debt(key, who, burst)
	local refunded = redis.call('ZSCORE', key, who)
	if not refunded then return 0 end
	return math.max(0, math.min(refunded - now, 2 * burst))
end

