package gawire

import "slices"

// Names that Google's help pages reserve in the user interface of Google Analytics. The protocol
// takes them; reports may not show them, or count twice what the tag collects by itself. Source: Google Analytics help, answer
// 13316687. page_view is not among them here: to send it is what a server is for.
var (
	uiEvents = []string{
		"ad_impression", "app_store_subscription_cancel", "app_store_subscription_renew", "click", "file_download", "form_start", "form_submit",
		"in_app_purchase", "scroll", "view_complete", "video_progress", "video_start", "view_search_results",
	}
	uiParams = []string{
		"cid", "customer_id", "customerid", "dclid", "gclid", "sessionid", "sfmc_id", "sid", "srsltid", "uid", "user_id", "userid",
	}
	uiUserProperties = []string{
		"cid", "customer_id", "customerid", "last_advertising_id_reset", "last_gclid", "lifetime_user_engagement", "non_personalized_ads",
		"session_id", "session_number", "sessionid", "sfmc_id", "sid", "uid", "userid",
	}
)

// CollectedByTag reports whether Google's tag sends events of that name by itself.
func CollectedByTag(name string) bool { return slices.Contains(uiEvents, name) }

// NoDimension reports whether no custom dimension can be made of a parameter.
func NoDimension(param string) bool {
	return slices.Contains(uiParams, param) || hasPrefix(param, "query_id")
}

// NoUserDimension reports whether no custom dimension can be made of a user property.
func NoUserDimension(property string) bool { return slices.Contains(uiUserProperties, property) }
