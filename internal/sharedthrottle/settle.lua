-- Records the result of an attempt, which reserve.lua may have granted or not.
--
-- KEYS  as in reserve.lua
-- ARGV  1: the attempt's id
--       2: refunded, failed, succeeded, unanswered; or counted, a failure that was not reserved
--       then for each budget: whose it is, the refund time of one failure, the refund time of all,
--       the limit: account_client, account, client or client_site
-- Returns now
-- charge adds one attempt, up to a number of whole budgets.
local function charge(key, who, cost, burst, budgets)
	local owed = math.min(debt(key, who, burst) + cost, budgets * burst)
	redis.call('ZADD', key, int(now + owed), who)
end

-- expire forgets what is refunded, and lets the key end with the last of the rest.
local function expire(key)
	redis.call('ZREMRANGEBYSCORE', key, '-inf', int(now))
	local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
	if last[2] then redis.call('PEXPIRE', key, int(math.ceil((last[2] - now) / 1000))) end
end

local id, verdict = ARGV[1], ARGV[2]
local failures, unanswered = KEYS[1], KEYS[2]
for i = 1, #KEYS - 2 do
	local who, cost, burst, limit = ARGV[4 * i - 1], tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1]), ARGV[4 * i + 2]
	redis.call('ZREM', KEYS[i + 2], id)
	if verdict == 'failed' or (verdict == 'counted' and debt(failures, who, burst) + cost <= burst) then
		charge(failures, who, cost, burst, 2)
	elseif verdict == 'unanswered' and (limit == 'account_client' or limit == 'account') then
		charge(unanswered, who, cost, burst, 1)
	elseif verdict == 'succeeded' then
		redis.call('ZREM', unanswered, who)
		if limit == 'account_client' then redis.call('ZREM', failures, who) end
	end
end
if verdict == 'failed' or verdict == 'counted' then expire(failures) end
if verdict == 'unanswered' then expire(unanswered) end
return now
