-- The action lua.authsvc URL asks authsvc about a request. The variable txn.authsvc_group is the
-- required group, if there is one.
local identity = { "remote-user", "remote-groups" }
local answered = { "www-authenticate", "retry-after", "cache-control" }
local timeout = 15000 -- ms, longer than AUTH_TIMEOUT

-- list makes a list of the values of a header, which HAProxy counts from 0.
local function list(values)
	local all = {}
	for i = 0, #values do
		all[#all + 1] = values[i]
	end
	return all
end

core.register_action("authsvc", { "http-req" }, function(txn, url)
	local headers = {
		["x-forwarded-for"] = { txn.sf:src() },
		["x-forwarded-host"] = { txn.sf:req_hdr("host") },
		["x-forwarded-uri"] = { txn.sf:path() },
	}
	local authorization = txn.http:req_get_headers()["authorization"]
	if authorization then
		headers["authorization"] = list(authorization)
	end
	local group = txn:get_var("txn.authsvc_group")
	if group then
		headers["authsvc-require-group"] = { group }
	end

	local answer = core.httpclient():get({ url = url, headers = headers, timeout = timeout })
	if answer.status == 200 then
		for _, name in ipairs(identity) do
			txn.http:req_set_header(name, answer.headers[name] and answer.headers[name][0] or "")
		end
		txn:set_var("txn.authsvc_permits", true)
		return
	end
	if answer.status < 400 then -- there is none
		return
	end
	local reply = txn:reply({ status = answer.status })
	for _, name in ipairs(answered) do
		if answer.headers[name] then
			reply:add_header(name, answer.headers[name][0])
		end
	end
	txn:done(reply)
end, 1)
