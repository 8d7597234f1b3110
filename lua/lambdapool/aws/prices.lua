--- What AWS Lambda costs, in US dollars, before any free tier, discount or tax: published on
--- https://aws.amazon.com/lambda/pricing/ for functions in the first tier. Regions that are not
--- here have the prices of most.

local prices = {
  --- When they were looked up.
  date = "2025-08",
}

-- For each invocation.
local REQUEST = 0.20 / 1e6

-- For a GB that is used for a second.
local MOST = { x86_64 = 0.0000166667, arm64 = 0.0000133334 }

local GULF = { x86_64 = 0.0000206667, arm64 = 0.0000165334 }

local REGIONS = {
  ["af-south-1"] = { x86_64 = 0.0000221, arm64 = 0.00001768 },
  ["ap-east-1"] = { x86_64 = 0.00002292, arm64 = 0.0000183 },
  ["eu-south-1"] = { x86_64 = 0.0000195172, arm64 = 0.0000156138 },
  ["me-central-1"] = GULF,
  ["me-south-1"] = GULF,
}

--- What invocations cost.
---@param region string
---@param architecture "x86_64"|"arm64"|nil
---@param gb_seconds number
---@param requests integer
---@return number dollars
function prices.cost(region, architecture, gb_seconds, requests)
  local of_region = REGIONS[region] or MOST
  return gb_seconds * (of_region[architecture] or of_region.x86_64) + requests * REQUEST
end

return prices
