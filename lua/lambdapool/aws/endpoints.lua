--- Where the services of AWS are: the partitions, and the names of their hosts.

---@class lambdapool.aws.Partition
---@field name string as in ARNs
---@field suffix string of hosts
---@field dual string of hosts that also speak IPv6
---@field iam { host: string, region: string } which is one for the whole partition
local function partition(name, suffix, dual, iam_host, iam_region)
  return { name = name, suffix = suffix, dual = dual, iam = { host = iam_host,
    region = iam_region } }
end

local AWS = partition("aws", "amazonaws.com", "api.aws", "iam.amazonaws.com", "us-east-1")

-- By how the names of their regions begin.
local PARTITIONS = {
  { "^cn%-", partition("aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn",
    "iam.cn-north-1.amazonaws.com.cn", "cn-north-1") },
  { "^us%-gov%-", partition("aws-us-gov", "amazonaws.com", "api.aws",
    "iam.us-gov.amazonaws.com", "us-gov-west-1") },
  { "^us%-iso%-", partition("aws-iso", "c2s.ic.gov", "api.aws.ic.gov",
    "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1") },
  { "^us%-isob%-", partition("aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud",
    "iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1") },
  { "^eu%-isoe%-", partition("aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk",
    "iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1") },
  { "^us%-isof%-", partition("aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov",
    "iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1") },
  { "^eusc%-", partition("aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu",
    "iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1") },
}

local endpoints = {}

--- The partition that a region is in.
---@param region string?
---@return lambdapool.aws.Partition
function endpoints.partition(region)
  for _, entry in ipairs(PARTITIONS) do
    if (region or ""):find(entry[1]) then
      return entry[2]
    end
  end
  return AWS
end

--- The region that requests for a service are signed for.
---@param service string
---@param region string?
---@return string?
function endpoints.signing_region(service, region)
  local there = endpoints.partition(region)
  if service == "iam" then
    return there.iam.region
  elseif service == "sts" then
    return region or there.iam.region
  end
  return region
end

-- Those of IAM for IPv6, or with FIPS, follow no rule.
local IAM_HOSTS = {
  ["aws fips"] = "iam-fips.amazonaws.com",
  ["aws dual"] = "iam.global.api.aws",
  ["aws fips dual"] = "iam-fips.global.api.aws",
  ["aws-cn dual"] = "iam.global.api.amazonwebservices.com.cn",
  ["aws-us-gov dual"] = "iam.us-gov.api.aws",
  ["aws-us-gov fips dual"] = "iam.us-gov.api.aws",
}

local function iam_host(there, fips, dual)
  local key = there.name .. (fips and " fips" or "") .. (dual and " dual" or "")
  return IAM_HOSTS[key] or there.iam.host
end

--- The host of a service. Without a region only IAM and STS have one.
---@param service string
---@param region string?
---@param options { fips: boolean?, dual: boolean? }
---@return string
function endpoints.host(service, region, options)
  local there = endpoints.partition(region)
  if service == "iam" then
    return iam_host(there, options.fips, options.dual)
  elseif not region then
    return ("%s.%s"):format(service, there.suffix)
  end
  -- GovCloud is FIPS all over; these two services have no second host there.
  local plain = there.name == "aws-us-gov" and (service == "sts" or service == "logs") and
    not options.dual
  return ("%s%s.%s.%s"):format(service, options.fips and not plain and "-fips" or "", region,
    options.dual and there.dual or there.suffix)
end

--- Whether a text can be a region: it becomes part of a host.
---@param region string
---@return boolean
function endpoints.is_region(region)
  return #region <= 63 and region:find "^%w[%w-]*$" ~= nil
end

return endpoints
