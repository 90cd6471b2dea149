-- Takes one attempt from all of its budgets, or from none.
--
-- KEYS  1: failures, 2: unanswered attempts, then for each budget: its undecided attempts
-- ARGV  1: the attempt's id
--       2: the last moment at which the caller still waits for this answer
--       3: the age from which an undecided attempt is treated as unanswered
--       4: the age at which an undecided attempt is forgotten
--       then for each budget: whose it is, the refund time of one failure, the refund time of all
-- Returns code, now, the budget that decided, microseconds until it has a part again
local GRANTED, EXHAUSTED, BUSY, LATE = 0, 1, 2, 3

-- undecided returns the numbers of young and of old undecided attempts.
local function undecided(key, old, forgotten)
	local all = redis.call('ZCARD', key)
	if all == 0 then return 0, 0 end
	all = all - redis.call('ZREMRANGEBYSCORE', key, '-inf', int(now - forgotten))
	all = all - redis.call('ZREMRANGEBYSCORE', key, '(' .. int(now), '+inf') -- of a clock that was ahead
	local young = redis.call('ZCOUNT', key, '(' .. int(now - old), '+inf')
	return young, all - young
end

local id, last = ARGV[1], tonumber(ARGV[2])
local old, forgotten = tonumber(ARGV[3]), tonumber(ARGV[4])
if now > last then return {LATE, now, 0, 0} end

local exhausted, busy, left = 0, 0, 0
for i = 1, #KEYS - 2 do
	local who, cost, burst = ARGV[3 * i + 2], tonumber(ARGV[3 * i + 3]), tonumber(ARGV[3 * i + 4])
	local owed = debt(KEYS[1], who, burst)
	left = math.max(left, owed + cost - burst)
	if owed + cost > burst then
		if exhausted == 0 then exhausted = i end
	elseif busy == 0 then
		local young, aged = undecided(KEYS[i + 2], old, forgotten)
		owed = owed + (young + 1) * cost
		local unanswered = debt(KEYS[2], who, burst) + aged * cost
		if owed > burst or (young > 0 and owed + unanswered > burst) then busy = i end
	end
end
if exhausted > 0 then return {EXHAUSTED, now, exhausted, left} end
if busy > 0 then return {BUSY, now, busy, 0} end

for i = 3, #KEYS do
	redis.call('ZADD', KEYS[i], int(now), id)
	redis.call('PEXPIRE', KEYS[i], int(math.ceil(forgotten / 1000)))
end
return {GRANTED, now, 0, 0}
