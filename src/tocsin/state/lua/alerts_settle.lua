-- The planner is done with these alerts; one that a late event opened again meanwhile it is not done with.
-- KEYS: the set of unsettled alerts, then each alert's own key. ARGV: the ids of the alerts, in that order.
-- Returns how many were settled.
local settled = 0
for i, id in ipairs(ARGV) do
  local body = redis.call('GET', KEYS[i + 1])
  if not body or cjson.decode(body).alert.status == 'resolved' then
    settled = settled + redis.call('SREM', KEYS[1], id)
  end
end
return settled
